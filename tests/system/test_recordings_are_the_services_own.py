"""A service whose user owns nothing records: systemd gives it the directory, and nobody else."""

import re

from .machine import Machine
from .network import Target, assert_answers
from .route import PORT, enable, service, write_route

DIRECTORY = "/var/lib/websockify/vnc"
WHOLE = re.compile(
    r"var VNC_frame_data = \[\n'\{\d+\{desktop',\n'\}\d+\}hello',\n.*'EOF'\];\n", re.DOTALL
)


def record_a_session(machine: Machine, target: Target) -> dict[str, str]:
    """Has a session, and returns the journal's record about its recording, whose file is whole."""
    with machine.network.websocket(PORT) as session:
        assert_answers(session, "desktop", b"hello")
    begun = machine.wait_for_record(
        f"_SYSTEMD_UNIT={service()}", where=lambda record: "WEBSOCKIFY_FILE" in record
    )
    # A stop waits until everything is written.
    machine.run("systemctl", "stop", service())
    return begun


def test_a_recording_is_in_the_services_own_directory_and_survives_it(machine: Machine) -> None:
    with Target(machine.network, "desktop") as target:
        write_route(
            machine, f"127.0.0.1:{target.port}", "[record]", f'directory = "{DIRECTORY}"'
        )
        machine.run("systemctl", "daemon-reload")
        enable(machine)
        begun = record_a_session(machine, target)
        path = begun["WEBSOCKIFY_FILE"]
        assert re.fullmatch(rf"{DIRECTORY}/vnc-\d{{8}}T\d{{6}}Z-[0-9a-f]{{8}}\.js", path)
        assert begun["WEBSOCKIFY_SESSION"] in path
        assert WHOLE.fullmatch(machine.read(path))
        modes = machine.run("stat", "--format=%a", path, f"{DIRECTORY}/").split()
        assert modes == ["600", "700"]
        # Another user of the machine sees nothing of it.
        machine.run("useradd", "jane")
        attempt = machine.attempt("runuser", "-u", "jane", "--", "cat", path)
        assert attempt.returncode != 0 and b"Permission denied" in attempt.stderr.encode()
        summary = machine.run("websockify", "replay", "--summary", path)
        assert "end        whole" in summary


def test_a_directory_that_the_service_may_not_write_costs_the_recording_only(
    machine: Machine,
) -> None:
    machine.run("mkdir", "/srv/recordings")
    with Target(machine.network, "desktop") as target:
        write_route(
            machine, f"127.0.0.1:{target.port}", "[record]", 'directory = "/srv/recordings"'
        )
        machine.run("systemctl", "daemon-reload")
        enable(machine)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
            told = machine.wait_for_record(
                f"_SYSTEMD_UNIT={service()}", where=lambda record: int(record["PRIORITY"]) == 4
            )
            assert "the session goes on unrecorded" in told["MESSAGE"]
            assert "Permission denied" in told["WEBSOCKIFY_CAUSE"]
