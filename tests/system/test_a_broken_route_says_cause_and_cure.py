"""Each mistake is one sentence with cause and cure, wherever an administrator may look."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from .machine import Machine
from .network import ANSWER_SECONDS_MAX
from .route import PORT, service

ROUTE = "/etc/websockify/vnc.toml"
SOCKET = "websockify@vnc.socket"


@dataclass(frozen=True)
class Mistake:
    """A broken route, and the words that its explanation must have."""

    text: str
    words: tuple[str, ...]
    prepare: Callable[[Machine], object] = field(default=lambda _: None)


def make_certificate(machine: Machine) -> None:
    """A right pair, whose key nobody may read."""
    command = ["openssl", "req", "-x509", "-noenc", "-days", "2", "-subj", "/CN=test"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", "-"]
    pair = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    key, certificate = pair.split("-----END PRIVATE KEY-----\n")
    machine.write("/etc/ssl/vnc.pem", certificate)
    machine.write("/etc/ssl/vnc.key", f"{key}-----END PRIVATE KEY-----\n", mode=0o000)


LISTEN_AND_TARGET = f'listen = "{PORT}"\ntarget = "127.0.0.1:5900"\n'
TLS = '[tls]\ncertificate = "/etc/ssl/vnc.pem"\nkey = "/etc/ssl/vnc.key"\n'

MISTAKES = {
    "broken TOML": Mistake(LISTEN_AND_TARGET + "web = /usr\n", (f"{ROUTE}:3:",)),
    "unknown key": Mistake(LISTEN_AND_TARGET + "tarket = 1\n", (f"{ROUTE}:3:", "target")),
    "missing certificate": Mistake(LISTEN_AND_TARGET + TLS, ("/etc/ssl/vnc.pem",)),
    "key of somebody else": Mistake(
        LISTEN_AND_TARGET + TLS.replace('key = "/etc/ssl/vnc.key"', 'key = "/home/other/vnc.key"'),
        ("/home/other/vnc.key",),
        make_certificate,
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_unit_runs_and_says_what_is_wrong(machine: Machine, name: str) -> None:
    mistake = MISTAKES[name]
    mistake.prepare(machine)
    machine.write(ROUTE, mistake.text)
    machine.run("systemctl", "daemon-reload")
    # It may be refused, or the service may run to say so; what it may not do is start in a loop.
    machine.attempt("systemctl", "enable", "--now", SOCKET)
    machine.attempt("systemctl", "start", service())
    state = machine.wait_for_unit(
        service(), lambda unit: all(word in unit["StatusText"] for word in mistake.words)
    )
    assert (state["ActiveState"], state["NRestarts"]) == ("active", "0")

    record = machine.wait_for_record(
        f"_SYSTEMD_UNIT={service()}",
        where=lambda record: all(word in record["MESSAGE"] for word in mistake.words),
    )
    assert int(record["PRIORITY"]) <= 3
    assert record["WEBSOCKIFY_ROUTE"] == "vnc"
    assert machine.explanation(record)

    checked = machine.attempt("websockify", "check", "vnc")
    assert checked.returncode == 78
    assert all(word in checked.stdout + checked.stderr for word in mistake.words)


def test_clients_of_a_broken_route_are_told_so(machine: Machine) -> None:
    # The port could not be read: the route answers where it did before.
    machine.write(ROUTE, LISTEN_AND_TARGET)
    machine.run("systemctl", "enable", "--now", SOCKET)
    machine.write(ROUTE, LISTEN_AND_TARGET + "tarket = 1\n")
    origin = "http://desk.example"
    with machine.network.websocket(PORT, origin=origin) as session:
        with pytest.raises(Exception, match="1013"):
            session.recv(timeout=ANSWER_SECONDS_MAX)
    # The mistake repaired, the next client is served.
    machine.write(ROUTE, LISTEN_AND_TARGET)
    machine.run("systemctl", "reload-or-restart", service())
    machine.wait_for_unit(service(), lambda unit: "tarket" not in unit["StatusText"])


SQUATTER = f"""\
import os, signal, socket
listener = socket.create_server(("0.0.0.0", {PORT}))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
"""


def test_a_port_in_use_is_named_and_who_uses_it(machine: Machine) -> None:
    squat = ("systemd-run", "--quiet", "--unit=squatter", "--service-type=notify")
    machine.run(*squat, "/usr/bin/python3", "-c", SQUATTER)
    machine.write(ROUTE, f'listen = "0.0.0.0:{PORT}"\ntarget = "127.0.0.1:5900"\n')
    assert machine.attempt("systemctl", "enable", "--now", SOCKET).returncode != 0
    record = machine.wait_for_record(
        f"UNIT={SOCKET}", where=lambda record: "in use" in record["MESSAGE"]
    )
    assert str(PORT) in record["MESSAGE"]
    assert machine.show(SOCKET, "ActiveState") == {"ActiveState": "failed"}
    # systemd does not know whose it is.
    squatter = f"'python3' (process {machine.main_pid('squatter.service')})"
    checked = machine.attempt("websockify", "check", "vnc")
    assert f"{ROUTE}:1:10: warning: 0.0.0.0:{PORT} is in use now by {squatter}" in checked.stderr
    # Once it is gone, nothing but a start is needed; and what systemd holds is the route's own.
    machine.run("systemctl", "stop", "squatter.service")
    machine.run("systemctl", "start", SOCKET)
    checked = machine.attempt("websockify", "check", "vnc")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "vnc: ok\n", "")


def test_a_socket_of_the_wrong_kind_is_named_with_the_cure(machine: Machine) -> None:
    machine.write(ROUTE, LISTEN_AND_TARGET)
    machine.write(
        f"/etc/systemd/system/{SOCKET}.d/99-datagram.conf",
        "[Socket]\nListenStream=\nListenDatagram=6080\n",
    )
    machine.run("systemctl", "enable", "--now", SOCKET)
    machine.attempt("systemctl", "start", service())
    state = machine.wait_for_unit(service(), lambda unit: "ListenStream" in unit["StatusText"])
    assert state["NRestarts"] == "0"
