"""The judge itself finds what it is there to find."""

import pytest

from .stream import MESSAGE_SIZES, Received, content, messages

SENT = content(1000)


def test_equal_streams_pass_however_they_are_cut() -> None:
    received = Received(SENT)
    for start in range(0, len(SENT), 7):
        received.feed(SENT[start : start + 7])
    received.check()


def test_the_first_changed_byte_is_named() -> None:
    changed = bytearray(SENT)
    changed[777] ^= 1
    received = Received(SENT)
    received.feed(bytes(changed[:500]))
    with pytest.raises(AssertionError, match="first difference at byte 777"):
        received.feed(bytes(changed[500:]))


def test_a_missing_byte_is_found() -> None:
    received = Received(SENT)
    received.feed(SENT[:-1])
    with pytest.raises(AssertionError, match="999 bytes of 1000"):
        received.check()


def test_a_byte_too_many_is_found() -> None:
    with pytest.raises(AssertionError, match="more came back than the 1000 bytes"):
        Received(SENT).feed(SENT + b"x")


def test_the_messages_are_the_stream_in_every_size() -> None:
    stream = content(3 * sum(MESSAGE_SIZES))
    cut = list(messages(stream))
    assert b"".join(cut) == stream
    assert {len(message) for message in cut} == set(MESSAGE_SIZES)
