"""Installed, upgraded, removed and purged with apt, as an administrator does."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .machine import Machine
from .network import Target, assert_answers, assert_echoes
from .package import apt_install, assert_goes_away, attempt_apt, install, package
from .route import PORT, enable, service, write_route
from .visitors import visitors

ENABLED = "/etc/systemd/system/sockets.target.wants/websockify@vnc.socket"
OTHER_PORT = 6081

Change = Callable[[Path], object]
"""What is done to a package's unpacked tree."""


def with_version(version: str, deb: Path, directory: Path, change: Change | None = None) -> Path:
    """The same package under another version, with a change."""
    tree = directory / f"tree-{version}"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines(keepends=True)
    control.write_text(
        "".join(f"Version: {version}\n" if line.startswith("Version:") else line for line in lines)
    )
    if change:
        change(tree)
    made = directory / f"websockify-{version}.deb"
    build = ["dpkg-deb", "-Znone", "--root-owner-group", "--build", tree, made]
    subprocess.run(build, check=True, capture_output=True)
    shutil.rmtree(tree)
    return made


def version_before(deb: Path, directory: Path) -> Path:
    return with_version("0.99", deb, directory)


def assert_refused(machine: Machine, port: int = PORT) -> None:
    with pytest.raises(ConnectionRefusedError):
        machine.network.connect("127.0.0.1", port)


def assert_no_unit_runs_or_failed(machine: Machine) -> None:
    assert machine.run("systemctl", "list-units", "--no-legend", "websockify*") == ""
    assert machine.run("systemctl", "list-units", "--failed", "--no-legend") == ""


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


def test_it_replaces_debians_own(machine: Machine) -> None:
    # apt knows Debian's as well, and must take ours for the newer one.
    policy = machine.run("apt-cache", "policy", "websockify")
    installed = next(line for line in policy.splitlines() if "Installed:" in line)
    candidate = next(line for line in policy.splitlines() if "Candidate:" in line)
    assert installed.split()[1] == candidate.split()[1]
    assert "is already the newest version" in apt_install(machine, "websockify")


def test_an_upgrade_restarts_what_runs_and_refuses_nobody(
    bare_machine: Machine, tmp_path: Path
) -> None:
    machine = bare_machine
    install(machine, version_before(package(machine), tmp_path))
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        with (
            visitors(machine.network, PORT) as visits,
            machine.network.websocket(PORT) as one,
            machine.network.websocket(PORT) as other,
        ):
            assert_answers(one, "desktop")
            assert_answers(other, "desktop")
            pid = machine.main_pid(service())
            socket = machine.show("websockify@vnc.socket", "ActiveEnterTimestampMonotonic")
            install(machine, package(machine))
            visits.await_another_of_each()
            assert_goes_away(one)
            assert_goes_away(other)
        assert machine.main_pid(service()) not in (pid, 0)
        # The very same socket: it was never closed.
        assert machine.show("websockify@vnc.socket", "ActiveEnterTimestampMonotonic") == socket
        assert machine.exists(ENABLED)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")


def test_an_upgrade_leaves_alone_what_does_not_run(bare_machine: Machine, tmp_path: Path) -> None:
    machine = bare_machine
    install(machine, version_before(package(machine), tmp_path))
    write_route(machine, "127.0.0.1:5900")
    write_route(machine, "127.0.0.1:5900", f'listen = "{OTHER_PORT}"', name="other")
    # One is enabled and stopped, the other waits for its first client and is not enabled.
    enable(machine)
    machine.run("systemctl", "stop", "websockify@vnc.socket", service())
    machine.run("systemctl", "start", "websockify@other.socket")
    install(machine, package(machine))
    states = {
        "websockify@vnc.socket": "inactive",
        service(): "inactive",
        "websockify@other.socket": "active",
        service("other"): "inactive",
    }
    for unit, state in states.items():
        assert machine.show(unit, "ActiveState") == {"ActiveState": state}, unit
    assert machine.exists(ENABLED)
    assert_refused(machine)
    disabled = machine.attempt("systemctl", "is-enabled", "websockify@other.socket")
    assert disabled.stdout.strip() == "disabled"


def test_an_upgrade_restarts_the_routes_of_users_too(bare_machine: Machine, tmp_path: Path) -> None:
    machine = bare_machine
    install(machine, version_before(package(machine), tmp_path))
    machine.run("useradd", "--create-home", "jane")
    # logind looks for the caller's own session in its control group, which must be the machine's.
    machine.run("systemd-run", "--quiet", "--wait", "loginctl", "enable-linger", "jane")
    uid = machine.run("id", "-u", "jane").strip()
    machine.wait_for_unit(f"user@{uid}.service", lambda unit: unit["ActiveState"] == "active")
    with Target(machine.network, "desktop") as target:
        route = f'listen = "{PORT}"\ntarget = "127.0.0.1:{target.port}"\n'
        machine.write("/home/jane/.config/websockify/vnc.toml", route)
        machine.run("chown", "-R", "jane:", "/home/jane/.config")
        machine.user("jane", "systemctl", "--user", "enable", "--now", "websockify@vnc.socket")
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
            install(machine, package(machine))
            assert_goes_away(session)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
    machine.run("apt-get", "remove", "--yes", "--quiet", "websockify")
    assert_refused(machine)


def fail_before_unpacking(tree: Path) -> None:
    script = tree / "DEBIAN/preinst"
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)


def lack_a_library(tree: Path) -> None:
    program = tree / "usr/bin/websockify"
    program.write_text("#!/bin/sh\necho 'libmissing.so.1: not found' >&2\nexit 127\n")


@pytest.mark.parametrize("fault", [fail_before_unpacking, lack_a_library])
def test_a_failed_upgrade_leaves_sessions_and_service_as_they_are(
    machine: Machine, tmp_path: Path, fault: Change
) -> None:
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        with visitors(machine.network, PORT), machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
            pid = machine.main_pid(service())
            broken = with_version("9.0", package(machine), tmp_path, fault)
            answer = attempt_apt(machine, broken)
            assert answer.returncode != 0, answer.stdout
            assert machine.main_pid(service()) == pid
            assert_echoes(session, b"still there")
            # The cure is a good package: the same as an upgrade to a later one.
            install(machine, with_version("9.1", package(machine), tmp_path))
            assert_goes_away(session)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")


def test_removal_stops_the_routes_and_what_is_installed_again_opens_them(machine: Machine) -> None:
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        write_route(machine, "127.0.0.1:5900", f'listen = "{OTHER_PORT}"', name="other")
        enable(machine)
        machine.run("systemctl", "start", "websockify@other.socket")
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
            machine.run("apt-get", "remove", "--yes", "--quiet", "websockify")
            assert_goes_away(session)
        assert_refused(machine)
        assert_refused(machine, OTHER_PORT)
        assert_no_unit_runs_or_failed(machine)
        assert machine.exists("/etc/websockify/vnc.toml")
        assert not machine.exists("/usr/bin/websockify")

        install(machine, package(machine))
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
        # That one was not enabled.
        assert_refused(machine, OTHER_PORT)


def test_a_purge_leaves_nothing(bare_machine: Machine) -> None:
    machine = bare_machine
    # Files that apt and systemd write for any package, wherever it comes from.
    shared = ("/var/lib/dpkg", "/var/log", "/var/cache", "/var/lib/apt", "/var/lib/systemd/catalog")

    def files() -> set[str]:
        command = ["find", "/etc", "/usr", "/var", "/opt", "/root", "/run", "-xdev"]
        found = machine.run(*command, "-not", "-type", "d").splitlines()
        own = {path for path in found if "websockify" in path}
        assert not any(path.startswith(("/proc", "/sys")) for path in own)
        return {path for path in found if not path.startswith((*shared, "/run"))} | own

    before = files()
    install(machine, package(machine))
    write_route(machine, "127.0.0.1:5900")
    enable(machine)
    machine.run("systemctl", "start", service())
    assert files() - before
    machine.run("apt-get", "purge", "--yes", "--quiet", "websockify")
    # But the .deb, which the test put there, and what dpkg remembers of everything that ever was.
    others = ("/root/", "/var/lib/dpkg/")
    ours = {path for path in files() - before if not path.startswith(others)}
    assert ours == set()
    assert not machine.exists("/etc/websockify")
    assert not machine.exists("/etc/systemd/system/websockify.target.wants")
    assert not machine.exists("/var/lib/private/websockify")
    assert "websockify" not in machine.run("journalctl", "--list-catalog")
    assert_no_unit_runs_or_failed(machine)
    assert machine.run("systemctl", "list-units", "--all", "--no-legend", "websockify*") == ""
