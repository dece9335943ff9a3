"""The package under test, and how it gets into a machine."""

import subprocess
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from .machine import Machine
from .network import ANSWER_SECONDS_MAX
from .root import REPOSITORY

APT_INSTALL = (
    *("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--quiet"),
    "--no-install-recommends",
)


def package(machine: Machine) -> Path:
    """The .deb that `make packages` built for a machine's systemd."""
    # From 253 on a reload can tell when it is complete.
    revision = "1+systemd253" if machine.systemd_version >= 253 else "1"
    pattern = f"target/debian/websockify_*-{revision}_*.deb"
    found = sorted(REPOSITORY.glob(pattern))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        pytest.fail(f"one {pattern} is needed, and there is {names}: make packages", pytrace=False)
    return found[0]


def install(machine: Machine, deb: Path) -> None:
    """Installs a package as an administrator does; a machine has no network to get more from."""
    done = attempt_apt(machine, deb)
    assert done.returncode == 0, done.stdout + done.stderr


def attempt_apt(machine: Machine, deb: Path) -> subprocess.CompletedProcess[str]:
    """Tries to install a package, to whatever end."""
    place = f"/root/{deb.name}"
    machine.write(place, deb.read_bytes())
    return machine.attempt(*APT_INSTALL, place)


def apt_install(machine: Machine, *what: str) -> str:
    return machine.run(*APT_INSTALL, *what)


def assert_goes_away(session: ClientConnection) -> None:
    """Ended in words: going away, or restarting."""
    with pytest.raises(ConnectionClosed) as closed:
        session.recv(timeout=ANSWER_SECONDS_MAX)
    assert closed.value.rcvd is not None, "the connection was cut"
    assert closed.value.rcvd.code in (1001, 1012)
