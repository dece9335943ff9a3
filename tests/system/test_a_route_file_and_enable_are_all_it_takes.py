"""An administrator writes a file and enables a socket; systemd does the rest, also after a boot."""

import socket

from websockets.sync.client import unix_connect

from .machine import Machine
from .network import Neighbour, Target, assert_answers
from .route import PORT, enable, service, write_route


def test_a_client_reaches_the_target_by_both_families(machine: Machine) -> None:
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        for host in ("127.0.0.1", "::1"):
            with machine.network.websocket(PORT, host) as session:
                assert_answers(session, "desktop")


def test_the_socket_alone_starts_the_service(machine: Machine) -> None:
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        assert machine.show(service(), "ActiveState") == {"ActiveState": "inactive"}
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
        assert machine.show(service(), "ActiveState") == {"ActiveState": "active"}


def test_a_boot_brings_the_route_back(machine: Machine) -> None:
    write_route(machine, "127.0.0.1:5900")
    enable(machine)
    machine.reboot()
    with (
        Target(machine.network, "desktop", port=5900),
        machine.network.websocket(PORT) as session,
    ):
        assert_answers(session, "desktop")


def test_a_route_listens_on_all_its_sockets(machine: Machine) -> None:
    path = "/run/websockify/desk.sock"
    with Target(machine.network, "desktop") as target, Neighbour(machine.network, 1) as neighbour:
        listen = f'listen = ["127.0.0.1:{PORT}", "{neighbour.machine_address}:6081", "{path}"]'
        write_route(machine, f"127.0.0.1:{target.port}", listen)
        enable(machine)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
        with neighbour.websocket(6081, neighbour.machine_address) as session:
            assert_answers(session, "desktop")
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(machine.outside(path))
        with unix_connect(uri="ws://localhost/", sock=stream, compression=None) as session:
            assert_answers(session, "desktop")
    # The service binds nothing: all that listens came from systemd.
    listening = machine.run("systemctl", "show", "--property=Listen", "websockify@vnc.socket")
    assert listening.count("(Stream)") == 3


def test_an_edit_that_systemd_has_not_read_is_told_with_its_cure(machine: Machine) -> None:
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        write_route(machine, f"127.0.0.1:{target.port}", 'listen = "6099"')
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
    record = machine.wait_for_record(
        f"_SYSTEMD_UNIT={service()}",
        where=lambda record: "6099" in record["MESSAGE"] and int(record["PRIORITY"]) <= 4,
    )
    cure = "systemctl daemon-reload && systemctl restart websockify@vnc.socket"
    assert cure in record["MESSAGE"]


def test_an_idle_service_ends_and_comes_back_for_the_next_client(machine: Machine) -> None:
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}", 'exit-idle = "1s"')
        enable(machine)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
        state = machine.wait_for_unit(service(), lambda unit: unit["ActiveState"] == "inactive")
        assert state["Result"] == "success"
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")


def test_the_status_counts_the_sessions_in_words(machine: Machine) -> None:
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
            machine.wait_for_unit(service(), lambda unit: "1 session" in unit["StatusText"])
        machine.wait_for_unit(service(), lambda unit: "0 sessions" in unit["StatusText"])


def test_the_units_show_where_their_settings_come_from(machine: Machine) -> None:
    write_route(machine, "127.0.0.1:5900")
    enable(machine)
    shown = machine.run("systemctl", "cat", "websockify@vnc.socket")
    assert "SourcePath=/etc/websockify/vnc.toml" in shown
    # A machine of the tests has no manual pages.
    verify = ("systemd-analyze", "verify", "--man=no")
    verified = machine.attempt(*verify, "websockify@vnc.socket", service())
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_sandbox_is_as_tight_as_promised(machine: Machine) -> None:
    write_route(machine, "127.0.0.1:5900")
    write_route(machine, "unix:/run/desktop.sock", 'listen = "6081"', name="local")
    machine.run("systemctl", "daemon-reload")
    exposures = {"vnc": 1.2, "local": 0.3}
    for name, exposure_max in exposures.items():
        # The threshold is in tenths; above it the command fails.
        threshold = f"--threshold={exposure_max * 10:.0f}"
        answer = machine.attempt("systemd-analyze", "security", threshold, service(name))
        assert answer.returncode == 0, answer.stdout
    assert machine.show(service("local"), "PrivateNetwork") == {"PrivateNetwork": "yes"}
