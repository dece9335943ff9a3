"""What each case has to show, by number, and why where that is not simply OK.

A case stands in exactly one line of the list of its subject. A line that is not OK says more
than "may fail": each kind has a check of its own (see `judge`), so a case that starts to pass, or
to fail in another way, is noticed.
"""

from dataclasses import dataclass
from enum import Enum


class Expect(Enum):
    BORDERS_MOVE = "the same bytes, in whatever frames"
    TEXT_BORDERS_MOVE = "the same text, in whatever frames"
    INVALID_TEXT = "closed with 1007, behind no more than what was right"
    EMPTY_IS_NOTHING = "no answer"
    EITHER_WAY = "OK or NON-STRICT"
    INFORMATIONAL = "INFORMATIONAL"
    NON_STRICT = "NON-STRICT"
    NO_COMPRESSION = "UNIMPLEMENTED"
    OK = "OK"
    TEXT_REFUSED = "closed with 1003"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Line:
    cases: str
    """Numbers, apart by spaces; `1.2.3-5` is 1.2.3, 1.2.4 and 1.2.5."""
    expect: Expect
    reason: str


# The proxy, with a TCP echo as its target. It is a relay: the payload of binary messages is one
# stream of bytes to it, and comes back as binary frames with other borders. Text is refused with
# Close 1003. So a case is OK unless its verdict needs text or the borders of messages.
PROXY = (
    Line("2.1-11", Expect.OK, "ping and pong"),
    Line("3.1", Expect.OK, "a reserved bit counts before the opcode, which is text here"),
    Line("3.5-7", Expect.OK, "reserved bits"),
    Line("4.1.1-2 4.2.1-2", Expect.OK, "reserved opcodes"),
    Line("5.1-2", Expect.OK, "fragmented control frames"),
    Line("5.9-14 5.16-17", Expect.OK, "begins with a continuation of nothing, before any text"),
    Line("7.1.2-3", Expect.OK, "a frame after the Close is ignored"),
    Line("7.1.4", Expect.OK, "even text is ignored after the Close"),
    Line("7.3.1-6 7.5.1", Expect.OK, "the payload of Close frames"),
    Line("7.7.1-13 7.9.1-9", Expect.OK, "valid and invalid close codes"),
    Line("7.13.1-2", Expect.INFORMATIONAL, "close codes above 4999, which no standard speaks of"),
    Line("1.2.1", Expect.EMPTY_IS_NOTHING, "an empty message adds nothing to a stream"),
    Line("1.2.2-8", Expect.BORDERS_MOVE, "binary messages of 125 to 65536 bytes"),
    Line("1.1.1-8", Expect.TEXT_REFUSED, "text messages of 0 to 65536 bytes"),
    Line("3.2-4", Expect.TEXT_REFUSED, "text comes before the frame with a reserved bit"),
    Line("4.1.3-5 4.2.3-5", Expect.TEXT_REFUSED, "text comes before the reserved opcode"),
    Line("5.3-8 5.19-20", Expect.TEXT_REFUSED, "fragmented text, some with a ping inside"),
    Line("5.15", Expect.TEXT_REFUSED, "text comes before the continuation of nothing"),
    Line("5.18", Expect.TEXT_REFUSED, "the first of the two beginnings is text already"),
    Line("6.1.1-3", Expect.TEXT_REFUSED, "empty text, in one frame and in fragments"),
    Line("6.2.1-4 6.5.1-5 6.7.1-4", Expect.TEXT_REFUSED, "text of valid UTF-8"),
    Line("6.9.1-4 6.11.1-4", Expect.TEXT_REFUSED, "text of valid UTF-8"),
    Line("6.22.1-34 6.23.1-7", Expect.TEXT_REFUSED, "text of valid UTF-8"),
    Line("6.3.1-2 6.4.1-4 6.8.1-2", Expect.TEXT_REFUSED, "invalid UTF-8, but text comes first"),
    Line("6.10.1-3 6.11.5 6.12.1-8", Expect.TEXT_REFUSED, "invalid UTF-8, but text comes first"),
    Line("6.13.1-5 6.14.1-10 6.15.1", Expect.TEXT_REFUSED, "invalid UTF-8, but text comes first"),
    Line("6.16.1-3 6.17.1-5 6.18.1-5", Expect.TEXT_REFUSED, "invalid UTF-8, but text comes first"),
    Line("6.19.1-5 6.20.1-7 6.21.1-8", Expect.TEXT_REFUSED, "invalid UTF-8, but text comes first"),
    Line("6.6.1-11", Expect.TEXT_REFUSED, "prefixes of UTF-8, valid and not, in text"),
    Line("7.1.1", Expect.TEXT_REFUSED, "text comes before the Close"),
    Line("7.1.5", Expect.TEXT_REFUSED, "a fragment of text comes before the Close"),
    Line("7.1.6", Expect.TEXT_REFUSED, "256 KiB of text come before the Close"),
    Line("10.1.1", Expect.TEXT_REFUSED, "64 KiB of text in fragments of 1300 bytes"),
    Line("9.1.1-6 9.3.1-9 9.5.1-6 9.7.1-6", Expect.NOT_RUN, "speed of text, which is refused"),
    Line("9.2.1-6 9.4.1-9 9.6.1-6", Expect.NOT_RUN, "large messages have to come back whole"),
    Line("9.8.1-6", Expect.NOT_RUN, "each message has to come back whole, the empty one too"),
    Line("12.1.1-18 12.2.1-18 12.3.1-18", Expect.NO_COMPRESSION, "no extension is offered"),
    Line("12.4.1-18 12.5.1-18", Expect.NO_COMPRESSION, "no extension is offered"),
    Line("13.1.1-18 13.2.1-18 13.3.1-18", Expect.NO_COMPRESSION, "no extension is offered"),
    Line("13.4.1-18 13.5.1-18 13.6.1-18", Expect.NO_COMPRESSION, "no extension is offered"),
    Line("13.7.1-18", Expect.NO_COMPRESSION, "no extension is offered"),
)

# A route with text = "reply", and a TCP echo as its target: what text shows beyond the above. Text
# is one stream as well, passed on as it comes, character by character if need be.
TEXT = (
    Line("1.1.1", Expect.EMPTY_IS_NOTHING, "an empty message adds nothing to a stream"),
    Line("1.1.2-8", Expect.TEXT_BORDERS_MOVE, "text messages of 125 to 65536 bytes"),
    Line("5.1-2", Expect.OK, "fragmented control frames"),
    Line("5.3-8", Expect.TEXT_BORDERS_MOVE, "fragments come back as they came, before the last"),
    Line("5.9-14 5.16-18", Expect.OK, "a continuation of nothing, or a message inside another"),
    Line("5.15", Expect.EITHER_WAY, "the echo may be on its way when the rule is broken, or not"),
    Line("5.19-20", Expect.TEXT_BORDERS_MOVE, "fragments come back between the pongs"),
    Line("6.1.1-3", Expect.TEXT_BORDERS_MOVE, "empty text adds nothing to a stream"),
    Line("6.2.1-4 6.5.1-5 6.7.1-4", Expect.TEXT_BORDERS_MOVE, "UTF-8, also cut inside characters"),
    Line("6.9.1-4 6.11.1-4", Expect.TEXT_BORDERS_MOVE, "UTF-8: first and last of each length"),
    Line("6.22.1-34 6.23.1-7", Expect.TEXT_BORDERS_MOVE, "UTF-8: no characters, but valid"),
    Line("6.6.2 6.6.5 6.6.7 6.6.9 6.6.11", Expect.TEXT_BORDERS_MOVE, "whole characters"),
    Line("6.6.1 6.6.3-4 6.6.6 6.6.8 6.6.10", Expect.OK, "messages that end inside a character"),
    Line("6.3.1", Expect.OK, "invalid in one piece: nothing comes back"),
    Line("6.3.2", Expect.INVALID_TEXT, "byte by byte: what is right comes back first"),
    Line("6.4.1-4", Expect.INVALID_TEXT, "in two pieces: the one that is right comes back"),
    Line("6.8.1-2 6.10.1-3 6.11.5", Expect.OK, "longer than five bytes, or above U+10FFFF"),
    Line("6.12.1-8 6.13.1-5 6.14.1-10 6.15.1", Expect.OK, "continuations alone, or missing"),
    Line("6.16.1-3 6.17.1-5 6.18.1-5", Expect.OK, "overlong"),
    Line("6.19.1-5 6.20.1-7 6.21.1-8", Expect.OK, "overlong zeros, and surrogates"),
    Line("1.2.1-8", Expect.NOT_RUN, "these bytes are no text, and text is what comes back"),
    Line("2.1-11 3.1-7 4.1.1-5 4.2.1-5", Expect.NOT_RUN, "as above: no matter of text"),
    Line("7.1.1-6 7.3.1-6 7.5.1 7.7.1-13 7.9.1-9", Expect.NOT_RUN, "as above: no matter of text"),
    Line("7.13.1-2 10.1.1", Expect.NOT_RUN, "as above: no matter of text"),
    Line("9.1.1-6 9.2.1-6 9.3.1-9 9.4.1-9", Expect.NOT_RUN, "messages have to come back whole"),
    Line("9.5.1-6 9.6.1-6 9.7.1-6 9.8.1-6", Expect.NOT_RUN, "messages have to come back whole"),
    Line("12.1.1-18 12.2.1-18 12.3.1-18", Expect.NOT_RUN, "as above: no extension is offered"),
    Line("12.4.1-18 12.5.1-18", Expect.NOT_RUN, "as above: no extension is offered"),
    Line("13.1.1-18 13.2.1-18 13.3.1-18", Expect.NOT_RUN, "as above: no extension is offered"),
    Line("13.4.1-18 13.5.1-18 13.6.1-18", Expect.NOT_RUN, "as above: no extension is offered"),
    Line("13.7.1-18", Expect.NOT_RUN, "as above: no extension is offered"),
)

# The codec, in a server that echoes whole messages, text as text and binary as binary. Here
# nothing is in the way of the strict verdict.
CODEC = (
    Line("1.1.1-8 1.2.1-8", Expect.OK, "messages"),
    Line("2.1-11", Expect.OK, "ping and pong"),
    Line("3.1-7", Expect.OK, "reserved bits"),
    Line("4.1.1-5 4.2.1-5", Expect.OK, "reserved opcodes"),
    Line("5.1-20", Expect.OK, "fragments"),
    Line("6.1.1-3 6.2.1-4 6.3.1-2 6.4.1-4 6.5.1-5 6.6.1-11 6.7.1-4 6.8.1-2", Expect.OK, "UTF-8"),
    Line("6.9.1-4 6.10.1-3 6.11.1-5 6.12.1-8 6.13.1-5 6.14.1-10 6.15.1", Expect.OK, "UTF-8"),
    Line("6.16.1-3 6.17.1-5 6.18.1-5 6.19.1-5 6.20.1-7 6.21.1-8", Expect.OK, "UTF-8"),
    Line("6.22.1-34 6.23.1-7", Expect.OK, "UTF-8"),
    Line("7.1.1-5 7.3.1-6 7.5.1 7.7.1-13 7.9.1-9", Expect.OK, "close"),
    Line("7.1.6", Expect.INFORMATIONAL, "text and Close at once: which is first is a free choice"),
    Line("7.13.1-2", Expect.INFORMATIONAL, "close codes above 4999, which no standard speaks of"),
    Line("9.1.1-6 9.2.1-6 9.3.1-9 9.4.1-9", Expect.OK, "large messages, whole and in fragments"),
    Line("9.5.1-6 9.6.1-6", Expect.OK, "large messages in small chops"),
    Line("9.7.1-6 9.8.1-6", Expect.OK, "a thousand messages, one by one"),
    Line("10.1.1", Expect.OK, "automatic fragments"),
    Line("12.1.1-18 12.2.1-18 12.3.1-18", Expect.NO_COMPRESSION, "no extension is offered"),
    Line("12.4.1-18 12.5.1-18", Expect.NO_COMPRESSION, "no extension is offered"),
    Line("13.1.1-18 13.2.1-18 13.3.1-18", Expect.NO_COMPRESSION, "no extension is offered"),
    Line("13.4.1-18 13.5.1-18 13.6.1-18", Expect.NO_COMPRESSION, "no extension is offered"),
    Line("13.7.1-18", Expect.NO_COMPRESSION, "no extension is offered"),
)


def by_case(lines: tuple[Line, ...]) -> dict[str, Line]:
    """The line of each case; a case in two lines is a mistake."""
    table: dict[str, Line] = {}
    for line in lines:
        for case in _numbers(line.cases):
            if case in table:
                raise ValueError(f"case {case} is listed twice")
            table[case] = line
    return table


def _numbers(cases: str) -> list[str]:
    numbers = []
    for part in cases.split():
        section, _, last = part.rpartition(".")
        first, _, end = last.partition("-")
        numbers += [f"{section}.{i}" for i in range(int(first), int(end or first) + 1)]
    return numbers
