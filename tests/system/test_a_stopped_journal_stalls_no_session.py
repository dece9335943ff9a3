"""journald stands still for 20 seconds under load: sessions go on, and what it missed is told."""

import threading
import time

from .machine import Machine
from .network import Target, assert_answers, assert_echoes
from .route import PORT, enable, service, write_route

STOPPED_SECONDS = 20
ROUND_TRIP_SECONDS_MAX = 0.5
CLIENTS = 2


class Crowd:
    """Clients who open sessions, talk and close them, one after another."""

    def __init__(self, machine: Machine) -> None:
        self.sessions = 0
        self.failures: list[Exception] = []
        self.longest_seconds = 0.0
        self._machine = machine
        self._counting = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._come_and_go) for _ in range(CLIENTS)]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _come_and_go(self) -> None:
        while not self._over.is_set():
            begin = time.monotonic()
            try:
                with self._machine.network.websocket(PORT) as session:
                    assert_answers(session, "desktop")
            except Exception as failure:  # whatever it is, it fails the test
                self.failures.append(failure)
                return
            with self._counting:
                self.sessions += 1
                self.longest_seconds = max(self.longest_seconds, time.monotonic() - begin)


def test_sessions_go_on_while_the_journal_stands_still(machine: Machine) -> None:
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        round_trips = []
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
            signal_journald(machine, "STOP")
            try:
                with Crowd(machine) as crowd:
                    end = time.monotonic() + STOPPED_SECONDS
                    while (begin := time.monotonic()) < end:
                        assert_echoes(session, b"still there")
                        round_trips.append(time.monotonic() - begin)
            finally:
                signal_journald(machine, "CONT")
        assert not crowd.failures, crowd.failures[:3]
        print(
            f"{len(round_trips)} round trips, the longest {max(round_trips):.3f} s; "
            f"{crowd.sessions} sessions, the longest {crowd.longest_seconds:.3f} s"
        )
        assert max(round_trips) < ROUND_TRIP_SECONDS_MAX
        # Each is a connection, a handshake, two round trips and a close.
        assert crowd.longest_seconds < 4 * ROUND_TRIP_SECONDS_MAX

        # What comes next is recorded again, and before it what is missing.
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
    in_service = machine.main_pid(service())
    machine.run("systemctl", "stop", "websockify@vnc.socket", service())
    # A service's end is its last record.
    own = f"_PID={in_service}"
    machine.wait_for_record(own, where=lambda record: record["MESSAGE"] == "stopped")
    records = machine.journal(own)
    dropped = [int(record.get("WEBSOCKIFY_DROPPED", 0)) for record in records]
    told = sum("WEBSOCKIFY_SESSION" in record for record in records)
    assert sum(dropped) > 0
    # Every session is told twice, when it opens and when it has ended, or is among the missing.
    assert told + sum(dropped) == 2 * (crowd.sessions + 2)


def signal_journald(machine: Machine, name: str) -> None:
    machine.run("systemctl", "kill", "--kill-who=main", f"--signal={name}", "systemd-journald")
