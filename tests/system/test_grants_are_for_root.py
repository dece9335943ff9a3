"""A token for one session: made by root for a service whose user owns nothing, and by nobody else."""

import json

import pytest
from websockets.exceptions import InvalidStatus

from .machine import Machine
from .network import Target, assert_answers
from .route import PORT, enable, service

CONTROL = "/run/websockify-vnc/vnc.control"


def write_granting_route(machine: Machine, *lines: str) -> None:
    text = "\n".join((f'listen = "127.0.0.1:{PORT}"', "[grants]", *lines)) + "\n"
    machine.write("/etc/websockify/vnc.toml", text)
    machine.run("systemctl", "daemon-reload")


def grant(machine: Machine, target: str) -> str:
    """The path of the URL that root is given."""
    url = machine.run("websockify", "grant", "vnc", "--target", target).strip()
    start = f"ws://127.0.0.1:{PORT}"
    assert url.startswith(f"{start}/?token="), url
    return url.removeprefix(start)


def test_root_makes_a_token_for_one_session_and_another_user_does_not(machine: Machine) -> None:
    write_granting_route(machine)
    enable(machine)
    machine.run("useradd", "jane")
    with Target(machine.network, "desktop") as target:
        place = f"127.0.0.1:{target.port}"
        # The socket alone is enabled, and nobody has come: there is nobody to ask.
        asleep = machine.attempt("websockify", "grant", "vnc", "--target", place)
        assert asleep.returncode == 71
        assert "systemctl start websockify@vnc.service" in asleep.stderr
        machine.run("systemctl", "start", service())

        path = grant(machine, place)
        with machine.network.websocket(PORT, path=path) as session:
            assert_answers(session, "desktop")
        with pytest.raises(InvalidStatus) as refused, machine.network.websocket(PORT, path=path):
            pass
        assert refused.value.response.status_code == 404

        as_jane = ("runuser", "-u", "jane", "--", "websockify", "grant", "vnc")
        for more in ((), ("--socket", CONTROL)):
            attempt = machine.attempt(*as_jane, "--target", place, *more)
            assert attempt.returncode == 71, attempt
            assert attempt.stdout == ""
        # It is not the directory alone: the socket itself, and then the kernel's word, refuse.
        machine.run("chmod", "0755", "/run/websockify-vnc")
        attempt = machine.attempt(*as_jane, "--target", place, "--socket", CONTROL)
        assert "only root and the user that it runs as may" in attempt.stderr, attempt
        machine.run("chmod", "0666", CONTROL)
        attempt = machine.attempt(*as_jane, "--target", place, "--socket", CONTROL)
        assert (attempt.returncode, attempt.stdout) == (71, ""), attempt

    uid = machine.run("id", "-u", "jane").strip()
    refusal = machine.wait_for_record(
        f"_SYSTEMD_UNIT={service()}", where=lambda record: "no grant" in str(record["MESSAGE"])
    )
    # Who it was, the service's user namespace does not tell: it was nobody whom it knows.
    assert refusal["WEBSOCKIFY_UID"] in ("65534", uid)
    made = machine.wait_for_record(
        f"_SYSTEMD_UNIT={service()}",
        where=lambda record: str(record["MESSAGE"]).startswith("a grant was made "),
    )
    assert made["WEBSOCKIFY_UID"] == "0"
    token = path.partition("=")[2]
    assert token not in json.dumps(machine.journal())
    assert "It leads to" in machine.explanation(made)


def test_a_reload_keeps_a_grant_and_a_restart_forgets_it(machine: Machine) -> None:
    write_granting_route(machine)
    enable(machine)
    machine.run("systemctl", "start", service())
    modes = machine.run("stat", "--format=%a", "/run/websockify-vnc", CONTROL)
    assert modes.split() == ["700", "600"]
    with Target(machine.network, "desktop") as target:
        path = grant(machine, f"127.0.0.1:{target.port}")
        machine.run("systemctl", "reload", service())
        with machine.network.websocket(PORT, path=path) as session:
            assert_answers(session, "desktop")
        path = grant(machine, f"127.0.0.1:{target.port}")
        machine.run("systemctl", "restart", service())
        with pytest.raises(InvalidStatus) as refused, machine.network.websocket(PORT, path=path):
            pass
        assert refused.value.response.status_code == 404
        # What targets.allow does not list, root does not get either.
        write_granting_route(machine, "[targets]", 'allow = ["127.0.0.2"]')
        machine.run("systemctl", "restart", service())
        attempt = machine.attempt(
            "websockify", "grant", "vnc", "--target", f"127.0.0.1:{target.port}"
        )
        assert attempt.returncode == 77
        assert "is not among targets.allow" in attempt.stderr
    machine.run("systemctl", "stop", service())
    assert not machine.exists("/run/websockify-vnc")
