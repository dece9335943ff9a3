"""The watchdog is fed by the accept loop: who stands still is replaced."""

import signal

from .machine import Machine
from .network import Target, assert_answers
from .route import PORT, enable, service, write_route

WATCHDOG_SECONDS = 2
"""Shorter than the unit's own, so that the test need not wait that long."""


def test_a_stopped_process_is_caught_by_the_watchdog(machine: Machine) -> None:
    assert "\nWatchdogSec=" in machine.run("systemctl", "cat", service())
    machine.write(
        "/etc/systemd/system/websockify@vnc.service.d/watchdog.conf",
        f"[Service]\nWatchdogSec={WATCHDOG_SECONDS}\n",
    )
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
        pid = machine.main_pid(service())
        machine.signal(pid, signal.SIGSTOP)
        machine.wait_for_unit(
            service(),
            lambda unit: unit["ActiveState"] == "active" and unit["MainPID"] not in ("0", str(pid)),
        )
        machine.wait_for_record(
            f"UNIT={service()}", where=lambda record: "watchdog" in record["MESSAGE"].lower()
        )
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")


def test_a_daemon_that_works_is_left_alone(machine: Machine) -> None:
    machine.write(
        "/etc/systemd/system/websockify@vnc.service.d/watchdog.conf",
        "[Service]\nWatchdogSec=1s\n",
    )
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
            pid = machine.main_pid(service())
            # Idle for several of its periods: only systemd's clock can tell.
            machine.run(
                "systemd-run", "--quiet", "--wait", "--property=ExecStartPre=sleep 3", "true"
            )
            assert machine.main_pid(service()) == pid
            assert machine.show(service(), "NRestarts") == {"NRestarts": "0"}
