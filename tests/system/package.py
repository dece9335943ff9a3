"""The package under test, and how it gets into a machine."""

from pathlib import Path

import pytest

from .machine import Machine
from .root import REPOSITORY


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
    place = f"/root/{deb.name}"
    machine.write(place, deb.read_bytes())
    apt_install(machine, place)


def apt_install(machine: Machine, *what: str) -> str:
    return machine.run(
        *("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--quiet"),
        *("--no-install-recommends", *what),
    )
