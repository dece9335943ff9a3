"""Instructions of a program, counted by callgrind: the same however busy the machine is."""

import re
import subprocess
from pathlib import Path

CALLGRIND_SECONDS_MAX = 120


def instructions_measured(program: Path, *arguments: str) -> int:
    """How many instructions all calls of the example's function `measured` take together."""
    command = [
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--collect-atstart=no",
        f"--toggle-collect=*{program.name}*measured*",
        program,
        *arguments,
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=CALLGRIND_SECONDS_MAX)
    assert run.returncode == 0, run.stderr
    collected = re.search(r"Collected : (\d+)", run.stderr)
    assert collected is not None, run.stderr
    count = int(collected[1])
    assert count > 0, f"nothing was counted: does `measured` still have a name?\n{run.stderr}"
    return count
