"""The .rpm on a booted system: its scripts do what the .deb's do.

The system is a Debian, whose own rpm is brought along; the package is for systemd 253 and later.
"""

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from .machine import Machine
from .network import Target, assert_answers
from .package import assert_goes_away
from .root import REPOSITORY
from .route import PORT, enable, service, write_route
from .visitors import visitors

RPM = "/opt/rpm"
PACKAGE = f"{RPM}/websockify.rpm"
RUN = f"""\
export RPM_CONFIGDIR={RPM}/config
exec {RPM}/ld-linux*.so.* --library-path {RPM} {RPM}/rpm "$@"
"""
OTHER_PORT = 6081

for_its_systemd = pytest.mark.parametrize("bare_root", ["trixie"], indirect=True)


def package() -> Path:
    found = sorted(REPOSITORY.glob("target/rpm/websockify-*.rpm"))
    assert len(found) == 1, f"one .rpm is needed, and there is {found}: make packages"
    return found[0]


@pytest.fixture
def rpm_machine(bare_machine: Machine) -> Machine:
    """With the rpm of this machine, the libraries that it was linked with, and the package."""
    program = shutil.which("rpm")
    assert program, "rpm is not there: run tests/setup packages"
    linked = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    files = {Path(found).name: found for found in re.findall(r"(/\S+) \(", linked)}
    files |= {"rpm": program, "config": "/usr/lib/rpm", "websockify.rpm": str(package())}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
        for name, file in files.items():
            tar.add(file, arcname=name)
    bare_machine.run("mkdir", "-p", RPM)
    bare_machine.run("tar", "-xC", RPM, given=archive.getvalue())
    bare_machine.write(f"{RPM}/run", RUN)
    return bare_machine


def rpm(machine: Machine, *arguments: str) -> str:
    # Where the distributions of rpm have its memory; Debian has it in a home. What the package
    # depends on is there, but rpm has not installed it.
    options = ["--define", "_dbpath /var/lib/rpm", "--nodeps"]
    return machine.run("sh", f"{RPM}/run", *options, *arguments)


def traces(machine: Machine) -> list[str]:
    """What has the name of the package."""
    places = ["/etc", "/usr", "/var", "/run", "/root"]
    found = machine.run("find", *places, "-xdev", "-name", "*websockify*")
    return found.splitlines()


@for_its_systemd
def test_an_upgrade_refuses_nobody_and_leaves_alone_what_does_not_run(
    rpm_machine: Machine,
) -> None:
    machine = rpm_machine
    rpm(machine, "--install", PACKAGE)
    assert machine.run("systemctl", "is-enabled", "websockify.target").strip() == "enabled"
    assert "websockify" in machine.run("journalctl", "--list-catalog")
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        write_route(machine, "127.0.0.1:5900", f'listen = "{OTHER_PORT}"', name="other")
        enable(machine)
        enable(machine, "other")
        machine.run("systemctl", "stop", "websockify@other.socket")
        with visitors(machine.network, PORT) as visits, machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
            pid = machine.main_pid(service())
            # For the scripts, the same version again is an upgrade.
            rpm(machine, "--upgrade", "--replacepkgs", PACKAGE)
            visits.await_another_of_each()
            assert_goes_away(session)
        assert machine.main_pid(service()) not in (pid, 0)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
    assert rpm(machine, "--verify", "websockify") == ""
    assert machine.run("systemctl", "is-enabled", "websockify@vnc.socket").strip() == "enabled"
    assert machine.show("websockify@other.socket", "ActiveState") == {"ActiveState": "inactive"}


@for_its_systemd
def test_erasing_it_stops_the_routes_and_leaves_nothing(rpm_machine: Machine) -> None:
    machine = rpm_machine
    assert traces(machine) == []
    rpm(machine, "--install", PACKAGE)
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
            # As of any rpm, the administrator's own files stay.
            machine.run("rm", "/etc/websockify/vnc.toml")
            rpm(machine, "--erase", "websockify")
            assert_goes_away(session)
    with pytest.raises(ConnectionRefusedError):
        machine.network.connect("127.0.0.1", PORT)
    assert traces(machine) == []
    assert "websockify" not in machine.run("journalctl", "--list-catalog")
    assert machine.run("systemctl", "list-units", "--all", "--no-legend", "websockify*") == ""
    assert machine.run("systemctl", "list-units", "--failed", "--no-legend") == ""
