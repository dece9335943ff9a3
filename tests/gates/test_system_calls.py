"""The system calls of a real session of the release binary, counted by strace: a relay's cost on any machine.

A message needs three: to wait for it, to read it, to write it. A chunk of 64 KiB of a stream needs two, as
the next is there already. By splice a chunk has a third, for the frame's header; but a chunk may then be larger.
"""

import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from .session import Session, client_frame, read_exactly, read_frame, session

CHUNK = 64 * 1024
CHUNKS = 512
ATTEMPTS = 8
LOWEST_PRIORITY = 19
MESSAGES = 1000
WARM_UP = 20
STRACE_SECONDS_MAX = 120

PER_MESSAGE = 3.05
PER_CHUNK = 2.1
PER_SPLICED_CHUNK = 3.1


class Counter:
    """What strace has counted, once it was told to stop."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}

    @property
    def total(self) -> int:
        return sum(self.calls.values())

    def per(self, units: int) -> float:
        return self.total / units

    def __str__(self) -> str:
        most = sorted(self.calls.items(), key=lambda item: -item[1])
        return ", ".join(f"{name} {count}" for name, count in most)


@contextmanager
def counting(process: int) -> Iterator[Counter]:
    """Counts the calls of all threads of the process while the body runs."""
    counter = Counter()
    columns = "--summary-columns=calls,name"
    strace = subprocess.Popen(
        [
            *("nice", "-n", str(LOWEST_PRIORITY)),
            *("strace", "--follow-forks", "--summary-only", columns, "--attach", str(process)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    # Ending strace ends its output, and so the reading of it.
    guard = threading.Timer(STRACE_SECONDS_MAX, strace.kill)
    guard.start()
    try:
        assert strace.stderr is not None
        said = strace.stderr.readline()
        assert "attached" in said, f"strace cannot attach: {said}{strace.stderr.read()}"
        yield counter
        strace.send_signal(signal.SIGINT)
        report = strace.stderr.read()
        assert guard.is_alive(), "strace was still counting after two minutes"
        counter.calls = {
            name: int(count) for count, name in re.findall(r"^ *(\d+) (\w+)$", report, re.MULTILINE)
        }
        counter.calls.pop("total", None)
        assert counter.total, report
    finally:
        guard.cancel()
        strace.kill()
        strace.wait()
        strace.stderr.close()


def echo(ends: Session, messages: int, size: int) -> None:
    payload = os.urandom(size)
    frame = client_frame(payload)
    for _ in range(messages):
        ends.client.sendall(frame)
        assert read_exactly(ends.target, size) == payload
        ends.target.sendall(payload)
        assert read_frame(ends.client) == payload


def while_sending(send: Callable[[], None], receive: Callable[[], None]) -> None:
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    receive()
    sender.join()


def up(ends: Session, chunks: int) -> None:
    frame = client_frame(os.urandom(CHUNK))

    def send() -> None:
        for _ in range(chunks):
            ends.client.sendall(frame)

    while_sending(send, lambda: _skip(ends.target, chunks * CHUNK))


def down(ends: Session, chunks: int, decoded: Callable[[bytes], int] = len) -> None:
    chunk = bytes(CHUNK)

    def send() -> None:
        for _ in range(chunks):
            ends.target.sendall(chunk)

    def receive() -> None:
        left = chunks * CHUNK
        while left:
            left -= decoded(read_frame(ends.client))

    while_sending(send, receive)


def bytes_of_base64(text: bytes) -> int:
    return len(text) // 4 * 3 - text[-2:].count(b"=")


def _skip(connection: socket.socket, size: int) -> None:
    buffer = bytearray(1 << 20)
    while size:
        count = connection.recv_into(buffer, min(size, len(buffer)))
        assert count, "the session ended"
        size -= count


@pytest.mark.parametrize("size", [64, 1024])
def test_a_message_of_an_idle_session_takes_three_system_calls_each_way(size: int) -> None:
    with session() as ends:
        echo(ends, WARM_UP, size)
        with counting(ends.process) as counter:
            echo(ends, MESSAGES, size)
    each = counter.per(2 * MESSAGES)
    print(f"{each:.3f} system calls a message and direction: {counter}")
    assert each <= PER_MESSAGE, str(counter)
    assert each >= 2, f"a message cannot be relayed by fewer calls: {counter}"


def fewest(ends: Session, work: Callable[[int], None]) -> Counter:
    """The count of the attempt with the fewest calls to move a stream of CHUNKS chunks.

    A relay that has read all there is, or filled its receiver, has to wait, and waiting is a call too: it
    happens when this process, at the other ends, is the slower. So the relay stands back for it, and when the
    machine is so busy that it waits all the same, another attempt follows. Nothing can take calls away.
    """
    work(WARM_UP)
    stand_back(ends.process)
    best: Counter | None = None
    for _ in range(ATTEMPTS):
        with counting(ends.process) as counter:
            work(CHUNKS)
        if best is None or counter.total < best.total:
            best = counter
        if best.per(CHUNKS) <= PER_CHUNK:
            break
    assert best is not None
    print(f"{best.per(CHUNKS):.3f} system calls a chunk: {best}")
    return best


def stand_back(process: int) -> None:
    for thread in os.listdir(f"/proc/{process}/task"):
        os.setpriority(os.PRIO_PROCESS, int(thread), LOWEST_PRIORITY)


def test_a_chunk_of_64_kib_takes_two_system_calls_up() -> None:
    with session() as ends:
        counter = fewest(ends, lambda chunks: up(ends, chunks))
    assert counter.per(CHUNKS) <= PER_CHUNK, str(counter)


def test_a_chunk_of_64_kib_takes_two_system_calls_down_or_three_by_splice() -> None:
    with session() as ends:
        counter = fewest(ends, lambda chunks: down(ends, chunks))
    spliced = counter.calls.get("splice", 0) > counter.total / 3
    assert counter.per(CHUNKS) <= (PER_SPLICED_CHUNK if spliced else PER_CHUNK), str(counter)


def test_a_chunk_of_64_kib_that_is_changed_on_its_way_takes_two_system_calls_down() -> None:
    # Base64 can be made in user space alone, so this is the copying path, whatever others are.
    with session(subprotocol="base64") as ends:
        counter = fewest(ends, lambda chunks: down(ends, chunks, bytes_of_base64))
    assert "splice" not in counter.calls
    assert counter.per(CHUNKS) <= PER_CHUNK, str(counter)
