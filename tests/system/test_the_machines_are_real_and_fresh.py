"""What the other tests stand on: a machine boots, runs units, logs, boots again, and is gone."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from .machine import Machine, Record
from .network import Neighbour, Target, assert_answers
from .root import REPOSITORY, SYSTEM, Root

UNIT = """\
[Service]
ExecStart=/usr/bin/websockify 127.0.0.1:6080 127.0.0.1:{port}

[Install]
WantedBy=multi-user.target
"""


def install_by_hand(machine: Machine, unit: str) -> None:
    """The program, and a unit in which it binds its port itself."""
    program = Path(os.environ.get("WEBSOCKIFY", REPOSITORY / "target/release/websockify"))
    machine.write("/usr/bin/websockify", program.read_bytes(), mode=0o755)
    machine.write("/etc/systemd/system/by-hand.service", unit)
    machine.run("systemctl", "enable", "--now", "by-hand.service")


def listening(record: Record) -> bool:
    return "listening on" in record["MESSAGE"]


def on_boot(machine: Machine) -> Callable[[Record], bool]:
    boot = machine.read("/proc/sys/kernel/random/boot_id").strip().replace("-", "")
    return lambda record: listening(record) and record["_BOOT_ID"] == boot


def test_a_machine_boots_with_the_systemd_of_its_release(bare_machine: Machine) -> None:
    version = bare_machine.run("systemctl", "--version").split()[1]
    assert int(version) == bare_machine.systemd_version
    assert bare_machine.run("systemctl", "is-system-running").strip() == "running"
    # Its own, and not the one of the machine that the tests run on.
    assert bare_machine.read("/proc/1/comm").strip() == "systemd"
    here = Path("/proc/sys/kernel/random/boot_id").read_text()
    assert bare_machine.read("/proc/sys/kernel/random/boot_id") != here


def test_a_service_is_reached_and_logs_and_is_back_after_a_boot(bare_machine: Machine) -> None:
    # The port is free: each boot has a network of its own.
    install_by_hand(bare_machine, UNIT.format(port=5900))
    for boot in range(2):
        if boot:
            bare_machine.reboot()
        record = bare_machine.wait_for_record("_SYSTEMD_UNIT=by-hand.service", where=listening)
        assert record["_COMM"] == "websockify"
        with (
            Target(bare_machine.network, f"boot {boot}", port=5900),
            bare_machine.network.websocket(6080) as session,
        ):
            assert_answers(session, f"boot {boot}")


def test_a_change_of_a_unit_wakes_who_waits_for_it(bare_machine: Machine) -> None:
    install_by_hand(bare_machine, UNIT.format(port=5900))
    pid = bare_machine.main_pid("by-hand.service")
    bare_machine.signal(pid, signal.SIGKILL)
    state = bare_machine.wait_for_unit(
        "by-hand.service", lambda unit: unit["ActiveState"] == "failed"
    )
    assert state["Result"] == "signal"


def test_a_neighbour_reaches_the_machine_over_a_cable(bare_machine: Machine) -> None:
    with (
        Neighbour(bare_machine.network, 1) as neighbour,
        Neighbour(bare_machine.network, 2) as other,
        Target(bare_machine.network, "cable", host=neighbour.machine_address) as target,
    ):
        with neighbour.connect(neighbour.machine_address, target.port) as client:
            assert client.getsockname()[0] == neighbour.address
            assert client.recv(5) == b"cable"
        assert other.address != neighbour.address


def test_nothing_of_a_machine_is_left(bare_root: Root) -> None:
    with Machine(bare_root) as machine:
        machine.write("/etc/trace", "trace\n")
        (directory,) = SYSTEM.glob("machine-*")
        # The name is nobody else's, which the number of a namespace is only while that is there.
        assert users_of(directory.name)
    assert not directory.exists()
    assert not any((layer / "etc/trace").exists() for layer in bare_root.layers)
    assert users_of(directory.name) == []


def users_of(name: str) -> list[Path]:
    """The processes that have a mount or are in a control group with that name in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            texts = [(process / file).read_text() for file in ("mountinfo", "cgroup")]
        except OSError:
            # That process ended meanwhile.
            continue
        if any(name in text for text in texts):
            found.append(process)
    return found
