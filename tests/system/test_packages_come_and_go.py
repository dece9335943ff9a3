"""Installed, upgraded, removed and purged with apt, as an administrator does."""

import subprocess
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from .machine import Machine
from .network import ANSWER_SECONDS_MAX, Target, assert_answers
from .package import apt_install, install, package
from .route import PORT, enable, service, write_route

ENABLED = "/etc/systemd/system/sockets.target.wants/websockify@vnc.socket"


def version_before(deb: Path, directory: Path) -> Path:
    """The same package with a version that is lower than any."""
    tree = directory / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines(keepends=True)
    control.write_text(
        "".join("Version: 0.99\n" if line.startswith("Version:") else line for line in lines)
    )
    before = directory / "websockify-before.deb"
    build = ["dpkg-deb", "-Znone", "--build", tree, before]
    subprocess.run(build, check=True, capture_output=True)
    return before


def test_it_is_installed_without_opening_a_port(bare_machine: Machine) -> None:
    listening = bare_machine.network.run("ss", "-Hltn")
    install(bare_machine, package(bare_machine))
    assert bare_machine.network.run("ss", "-Hltn") == listening
    assert bare_machine.run("systemctl", "is-system-running").strip() == "running"
    assert bare_machine.run("websockify", "--version")
    state = bare_machine.attempt("systemctl", "is-enabled", "websockify@vnc.socket")
    assert state.stdout.strip() == "disabled"


def test_debians_novnc_is_content_with_it(machine: Machine) -> None:
    planned = machine.run("apt-get", "install", "--simulate", "--quiet", "novnc")
    assert "Inst novnc " in planned
    for line in planned.splitlines():
        assert not line.startswith(("Remv websockify ", "Inst websockify ")), line


def test_an_upgrade_restarts_what_runs_and_keeps_what_is_enabled(
    bare_machine: Machine, tmp_path: Path
) -> None:
    machine = bare_machine
    install(machine, version_before(package(machine), tmp_path))
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
            pid = machine.main_pid(service())
            install(machine, package(machine))
            with pytest.raises(ConnectionClosed) as closed:
                session.recv(timeout=ANSWER_SECONDS_MAX)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code in (1001, 1012)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
        assert machine.main_pid(service()) != pid
    assert machine.exists(ENABLED)


def test_an_upgrade_leaves_alone_what_does_not_run(bare_machine: Machine, tmp_path: Path) -> None:
    machine = bare_machine
    install(machine, version_before(package(machine), tmp_path))
    write_route(machine, "127.0.0.1:5900")
    machine.run("systemctl", "daemon-reload")
    install(machine, package(machine))
    assert machine.show("websockify@vnc.socket", "ActiveState") == {"ActiveState": "inactive"}


def test_removal_stops_the_routes_and_keeps_their_files(machine: Machine) -> None:
    write_route(machine, "127.0.0.1:5900")
    enable(machine)
    machine.run("systemctl", "start", service())
    machine.run("apt-get", "remove", "--yes", "--quiet", "websockify")
    with pytest.raises(ConnectionRefusedError):
        machine.network.connect("127.0.0.1", PORT)
    assert machine.exists("/etc/websockify/vnc.toml")
    assert not machine.exists("/usr/bin/websockify")
    failed = machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend")
    assert failed == ""


def test_a_purge_leaves_nothing(bare_machine: Machine) -> None:
    machine = bare_machine
    # Files that apt and systemd write for any package, wherever it comes from.
    shared = ("/var/lib/dpkg", "/var/log", "/var/cache", "/var/lib/apt", "/var/lib/systemd")

    def files() -> set[str]:
        command = ["find", "/etc", "/usr", "/var", "/opt", "/root", "-xdev"]
        found = machine.run(*command, "-not", "-type", "d").splitlines()
        return {path for path in found if not path.startswith(shared)}

    before = files()
    install(machine, package(machine))
    write_route(machine, "127.0.0.1:5900")
    enable(machine)
    machine.run("systemctl", "start", service())
    # The route is the administrator's, who takes it away.
    machine.run("rm", "/etc/websockify/vnc.toml")
    machine.run("apt-get", "purge", "--yes", "--quiet", "websockify")
    left = {path for path in files() - before if not path.startswith("/root/websockify")}
    assert left == set()
    assert not machine.exists("/etc/websockify")
    assert machine.run("systemctl", "list-units", "--all", "--no-legend", "websockify*") == ""


def test_it_replaces_debians_own(machine: Machine) -> None:
    # apt knows Debian's as well, and must take ours for the newer one.
    policy = machine.run("apt-cache", "policy", "websockify")
    installed = next(line for line in policy.splitlines() if "Installed:" in line)
    candidate = next(line for line in policy.splitlines() if "Candidate:" in line)
    assert installed.split()[1] == candidate.split()[1]
    assert "is already the newest version" in apt_install(machine, "websockify")
