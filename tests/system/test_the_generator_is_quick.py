"""The generator runs before anything else does, at each boot and each reload of systemd."""

import os
import shutil
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

from .machine import Machine
from .root import REPOSITORY

RUNS = 20
# About two and a half where this was written, for 18 routes: some 4 ms beside 1.6 ms of CPU time.
TIMES_THE_START_MAX = 5
# Where generators write is in memory as well.
MEMORY = Path("/dev/shm")


def test_a_run_for_all_examples_costs_little_beside_the_start(machine: Machine) -> None:
    # What the package installed, run here: how somebody gets into a machine takes longer by itself.
    with TemporaryDirectory(dir=MEMORY) as directory:
        generator = Path(directory) / "websockify-generator"
        shutil.copy(machine.outside("/usr/bin/websockify"), generator)
        routes = Path(directory) / "routes"
        shutil.copytree(REPOSITORY / "config", routes)
        sockets = len(list(routes.glob("*.toml")))
        nothing = Path(directory) / "nothing"
        nothing.mkdir()
        runs, starts = [], []
        for number in range(RUNS):
            # Side by side, so that others on this machine disturb both.
            starts.append(run(generator, nothing, Path(directory) / f"start-{number}"))
            runs.append(run(generator, routes, Path(directory) / str(number)))
        # It did what it is for.
        for number in range(RUNS):
            written = Path(directory) / str(number)
            assert len(list(written.glob("*.socket.d/*.conf"))) == sockets >= 5
    cost, start = statistics.median(runs), statistics.median(starts)
    assert cost < TIMES_THE_START_MAX * start, (runs, starts)


def run(generator: Path, routes: Path, written: Path) -> float:
    """The CPU time of a run in milliseconds, its start included."""
    environment = {"PATH": "/usr/bin:/bin", "WEBSOCKIFY_CONFIG": str(routes)}
    arguments = [str(generator), *[str(written)] * 3]
    process = os.posix_spawn(generator, arguments, environment)
    _, status, used = os.wait4(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return (used.ru_utime + used.ru_stime) * 1000
