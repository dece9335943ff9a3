"""Runs kosoku against a server and keeps the report."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from kosoku import FailureError, run_fuzzingclient
from kosoku._kosoku import CaseResult

from .expectations import Expect, Line
from .judge import objection, verdict

RUN_SECONDS_MAX = 100
CASES_AT_ONCE = 4
# The cases of section 9 keep both processors busy. Beside them others, which measure one second
# for an answer, might fail for want of time.
BUSY = "9."


@dataclass(frozen=True)
class Report:
    """The results of one subject, each next to the line that it has to agree with."""

    subject: str
    table: dict[str, Line]
    results: dict[str, CaseResult]

    def write(self, directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.subject}.json"
        rows = {case: self._row(case, line) for case, line in self.table.items()}
        path.write_text(json.dumps(rows, indent=1) + "\n")
        return path

    def _row(self, case: str, line: Line) -> dict[str, object]:
        row: dict[str, object] = {"expected": line.expect.value, "reason": line.reason}
        if result := self.results.get(case):
            exchange, closing = verdict(result)
            row |= {
                "agrees": objection(line, result) is None,
                "verdict": exchange,
                "closing": closing,
                "close code": result.remote_close_code,
                "milliseconds": result.duration,
                "description": result.description,
            }
        return row

    def summary(self) -> list[str]:
        """One line for each expectation: how many cases agree with it, and which do not."""
        agree: Counter[Expect] = Counter()
        others: list[str] = []
        for case, result in self.results.items():
            line = self.table[case]
            if wrong := objection(line, result):
                others.append(f"  {case}: {' / '.join(verdict(result))}: {wrong}")
            else:
                agree[line.expect] += 1
        listed = Counter(line.expect for line in self.table.values())
        lines = [
            f"  {expect.value}: {agree[expect]} of {listed[expect]}"
            for expect in Expect
            if listed[expect] and expect is not Expect.NOT_RUN
        ]
        if not_run := listed[Expect.NOT_RUN]:
            lines.append(f"  {Expect.NOT_RUN.value}: {not_run}")
        return [f"{self.subject}: {len(self.results)} cases", *lines, *others]


def run(subject: str, port: int, table: dict[str, Line]) -> Report:
    """Runs each case of the table that is to be run."""
    wanted = [case for case, line in table.items() if line.expect is not Expect.NOT_RUN]
    busy = [case for case in wanted if case.startswith(BUSY)]
    quiet = [case for case in wanted if not case.startswith(BUSY)]
    results = asyncio.run(_run(f"ws://127.0.0.1:{port}", [quiet, busy]))
    return Report(subject, table, {result.case_id: result for result in results})


async def _run(url: str, rounds: list[list[str]]) -> list[CaseResult]:
    results: list[CaseResult] = []
    async with asyncio.timeout(RUN_SECONDS_MAX):
        for cases in filter(None, rounds):
            try:
                results += await run_fuzzingclient(url, cases, concurrency=CASES_AT_ONCE)
            except FailureError as failure:
                # Raised for anything that is not OK, which may be what is expected here.
                results += failure.results
    return results
