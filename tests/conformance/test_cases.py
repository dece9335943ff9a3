"""Each Autobahn case shows what its line expects; no case is without a line."""

import pytest
from kosoku._kosoku import CaseResult
from kosoku.cases import CASES

from .expectations import CODEC, PROXY, TEXT, Expect, Line, by_case
from .judge import objection, verdict
from .run import Report


def each_line(lines: tuple[Line, ...]) -> pytest.MarkDecorator:
    run = [line for line in lines if line.expect is not Expect.NOT_RUN]
    return pytest.mark.parametrize("line", run, ids=lambda line: line.cases)


@each_line(PROXY)
def test_the_proxy_shows(line: Line, proxy: Report) -> None:
    check(line, proxy)


@each_line(TEXT)
def test_a_route_that_replies_in_text_shows(line: Line, text: Report) -> None:
    check(line, text)


@each_line(CODEC)
def test_the_codec_shows(line: Line, codec: Report) -> None:
    check(line, codec)


@pytest.mark.parametrize("lines", [PROXY, TEXT, CODEC], ids=["proxy", "text", "codec"])
def test_every_case_of_the_suite_is_listed(lines: tuple[Line, ...]) -> None:
    assert set(by_case(lines)) == set(CASES)


def test_an_exception_that_starts_to_pass_is_noticed(codec: Report) -> None:
    """The codec passes what are exceptions to the proxy: each of them is objected to."""
    exceptions = (Expect.TEXT_REFUSED, Expect.EMPTY_IS_NOTHING)
    unnoticed = [
        case
        for case, line in by_case(PROXY).items()
        if line.expect in exceptions and not objection(line, codec.results[case])
    ]
    assert not unnoticed


def check(line: Line, report: Report) -> None:
    complaints = [
        story(line, case, report.results.get(case))
        for case, listed in report.table.items()
        if listed is line
    ]
    if wrong := [complaint for complaint in complaints if complaint]:
        pytest.fail("\n\n".join(wrong), pytrace=False)


def story(line: Line, case: str, result: CaseResult | None) -> str | None:
    """All that helps to understand a case that does not agree with its line."""
    if result is None:
        return f"{case} did not run"
    wrong = objection(line, result)
    if not wrong:
        return None
    return "\n    ".join(
        [
            f"{case}: {' / '.join(verdict(result))}: {wrong}",
            f"listed as: {line.expect.value} ({line.reason})",
            f"the case: {result.description:.300}",
            f"it expects: {result.expectation:.300}",
            f"received: {result.received!r:.300}",
            f"closed with: {result.remote_close_code} {result.remote_close_reason or ''}",
            f"its verdict: {result.result} {result.result_close}",
        ]
    )
