"""The generator runs before anything else does, at each boot and each reload of systemd."""

import os
import shutil
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

from .machine import Machine
from .root import REPOSITORY

RUNS = 20
CPU_MILLISECONDS_MAX = 5
# Where generators write is in memory as well.
MEMORY = Path("/dev/shm")


def test_a_run_takes_less_than_five_milliseconds_of_cpu(machine: Machine) -> None:
    # What the package installed, run here: how somebody gets into a machine takes longer by itself.
    with TemporaryDirectory(dir=MEMORY) as directory:
        generator = Path(directory) / "websockify-generator"
        shutil.copy(machine.outside("/usr/bin/websockify"), generator)
        routes = Path(directory) / "routes"
        shutil.copytree(REPOSITORY / "config", routes)
        sockets = len(list(routes.glob("*.toml")))
        runs = [run(generator, routes, Path(directory) / str(number)) for number in range(RUNS)]
        # It did what it is for.
        for number in range(RUNS):
            written = Path(directory) / str(number)
            assert len(list(written.glob("*.socket.d/*.conf"))) == sockets >= 5
    # CPU time, and the median of it: others on this machine may take their time.
    assert statistics.median(runs) < CPU_MILLISECONDS_MAX, runs


def run(generator: Path, routes: Path, written: Path) -> float:
    """The CPU time of a run in milliseconds, its start included."""
    environment = {"PATH": "/usr/bin:/bin", "WEBSOCKIFY_CONFIG": str(routes)}
    arguments = [str(generator), *[str(written)] * 3]
    process = os.posix_spawn(generator, arguments, environment)
    _, status, used = os.wait4(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return (used.ru_utime + used.ru_stime) * 1000
