"""The package under test, and how it gets into a machine."""

import os
from pathlib import Path

import pytest

from .machine import Machine
from .root import REPOSITORY


def package() -> Path:
    """The .deb that `make packages` built; the environment may name another one."""
    named = os.environ.get("WEBSOCKIFY_DEB")
    found = [Path(named)] if named else sorted((REPOSITORY / "target/debian").glob("*.deb"))
    if len(found) != 1 or not found[0].exists():
        names = ", ".join(path.name for path in found) or "none"
        pytest.fail(f"one package is needed in target/debian, and there is {names}", pytrace=False)
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
