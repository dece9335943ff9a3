"""What the clients send, and the judge of what they get back.

A relay does not keep message borders, so the judge compares one stream of bytes with another.
"""

import hashlib
import random
from collections.abc import Iterator

SEED = 6455
STREAM_BYTES = 64 * 1024 * 1024

# Empty, the three forms of the length field at their borders, sizes around powers of two where
# buffers end, and primes, which never line up with a buffer.
MESSAGE_SIZES = (
    0, 1, 2, 3, 125, 126, 127, 128, 251, 997, 4093, 4096, 16381, 32771,
    65521, 65535, 65536, 65537, 131071, 262147, 524309, 1024 * 1024 + 3,
)  # fmt: skip


def content(size: int) -> bytes:
    """The bytes to send: they look random and are the same in each run."""
    return random.Random(SEED).randbytes(size)


def messages(stream: bytes) -> Iterator[memoryview]:
    """Cuts the stream into messages of all sizes, in an order that changes from round to round."""
    order = random.Random(SEED)
    sizes = list(MESSAGE_SIZES)
    view = memoryview(stream)
    while view:
        order.shuffle(sizes)
        for size in sizes:
            yield view[:size]
            view = view[size:]


class Received:
    """Compares what comes back with what was sent, while it comes."""

    def __init__(self, sent: bytes) -> None:
        self._sent = memoryview(sent)
        self._digest = hashlib.sha256()
        self.length = 0

    @property
    def complete(self) -> bool:
        return self.length >= len(self._sent)

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes; says where the first wrong one is, if there is one."""
        expected = self._sent[self.length : self.length + len(chunk)]
        if chunk != expected:
            pairs = zip(chunk, expected, strict=False)
            place = next((i for i, (got, sent) in enumerate(pairs) if got != sent), len(expected))
            offset = self.length + place
            if offset == len(self._sent):
                raise AssertionError(f"more came back than the {offset} bytes that were sent")
            raise AssertionError(
                f"first difference at byte {offset}:"
                f" got {bytes(chunk[place : place + 16]).hex(' ')},"
                f" sent {bytes(expected[place : place + 16]).hex(' ')}"
            )
        self._digest.update(chunk)
        self.length += len(chunk)

    def check(self) -> None:
        """To be called at the end: everything came back."""
        assert self.length == len(self._sent), f"{self.length} bytes of {len(self._sent)} came back"
        assert self._digest.digest() == hashlib.sha256(self._sent).digest()
