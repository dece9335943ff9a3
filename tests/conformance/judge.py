"""Compares what a case showed with what its line expects."""

from typing import Any

from kosoku._kosoku import CaseResult

from .expectations import Expect, Line

CLOSE_UNSUPPORTED_DATA = 1003
CLOSE_INVALID_PAYLOAD = 1007

# The word that the cases on invalid text begin with.
KOSME = "\u03ba\u1f79\u03c3\u03bc\u03b5"

# The verdicts on the exchange and on the closing of it.
VERDICTS = {
    Expect.OK: ("OK", "OK"),
    Expect.NON_STRICT: ("NON-STRICT", "OK"),
    Expect.INFORMATIONAL: ("INFORMATIONAL", "INFORMATIONAL"),
    Expect.NO_COMPRESSION: ("UNIMPLEMENTED", "OK"),
}


def objection(line: Line, result: CaseResult) -> str | None:
    """What is wrong with the result, or nothing."""
    match line.expect:
        case Expect.TEXT_REFUSED:
            return _text_refused(result)
        case Expect.BORDERS_MOVE:
            return _borders_move(result, binary=True)
        case Expect.TEXT_BORDERS_MOVE:
            return _borders_move(result, binary=False)
        case Expect.INVALID_TEXT:
            return _invalid_text(result)
        case Expect.EITHER_WAY:
            either = (VERDICTS[Expect.OK], VERDICTS[Expect.NON_STRICT])
            return None if verdict(result) in either else "neither OK nor NON-STRICT"
        case Expect.EMPTY_IS_NOTHING:
            return _empty_is_nothing(result)
        case expect:
            expected = VERDICTS[expect]
            return None if verdict(result) == expected else f"not {' / '.join(expected)}"


def verdict(result: CaseResult) -> tuple[str, str]:
    return result.behavior.value, result.behavior_close.value


def _text_refused(result: CaseResult) -> str | None:
    if verdict(result) in (VERDICTS[Expect.OK], VERDICTS[Expect.NON_STRICT]):
        return "an exception passes: move it to another line"
    if _messages(result.received):
        return "text came back"
    if result.remote_close_code != CLOSE_UNSUPPORTED_DATA:
        return f"not closed with {CLOSE_UNSUPPORTED_DATA}"
    return None


def _borders_move(result: CaseResult, *, binary: bool) -> str | None:
    # Whether the frames come back as they were is luck. That the bytes come back is not.
    (expected,) = result.expected.values()
    if _joined(result.received) != _joined(expected):
        return "other bytes came back"
    if not all(kind == binary for _, kind in _messages(result.received)):
        return f"they did not come back in {'binary' if binary else 'text'} messages"
    return None


def _invalid_text(result: CaseResult) -> str | None:
    if result.remote_close_code != CLOSE_INVALID_PAYLOAD:
        return f"not closed with {CLOSE_INVALID_PAYLOAD}"
    if not KOSME.startswith(_joined(result.received)):
        return "more came back than what was right"
    return None


def _empty_is_nothing(result: CaseResult) -> str | None:
    if result.received:
        return "an answer came: move the case to another line"
    if result.remote_close_code is not None:
        return "the connection was closed"
    return None


def _messages(events: list[Any]) -> list[tuple[str, bool]]:
    return [(event[1], event[2]) for event in events if event[0] == "message"]


def _joined(events: list[Any]) -> str:
    return "".join(payload for payload, _ in _messages(events))
