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


CERTIFICATE = "/etc/ssl/vnc.pem"
KEY = "/etc/ssl/vnc.key"
LISTEN_AND_TARGET = f'listen = "{PORT}"\ntarget = "127.0.0.1:5900"\n'
TLS = f'[tls]\ncertificate = "{CERTIFICATE}"\nkey = "{KEY}"\n'
AT_CERTIFICATE = f"{ROUTE}:4:"
AT_KEY = f"{ROUTE}:5:"
MISSING = ("put it there, or name another", "No such file or directory")


def make_pair() -> tuple[str, str]:
    """A certificate and its key."""
    command = ["openssl", "req", "-x509", "-noenc", "-days", "2", "-subj", "/CN=test"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", "-"]
    pair = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    key, end, certificate = pair.partition("-----END PRIVATE KEY-----\n")
    return certificate, key + end


def without_key(machine: Machine) -> None:
    machine.write(CERTIFICATE, make_pair()[0])


def with_directory_for_key(machine: Machine) -> None:
    without_key(machine)
    machine.run("mkdir", "--mode=700", KEY)


def with_key_of_another(machine: Machine) -> None:
    without_key(machine)
    machine.write(KEY, make_pair()[1], mode=0o600)


def with_encrypted_key(machine: Machine) -> None:
    certificate, key = make_pair()
    lock = ["openssl", "pkcs8", "-topk8", "-passout", "pass:secret"]
    locked = subprocess.run(lock, input=key, capture_output=True, text=True, check=True).stdout
    machine.write(CERTIFICATE, certificate)
    machine.write(KEY, locked, mode=0o600)


def with_certificate_for_key(machine: Machine) -> None:
    without_key(machine)
    machine.write(KEY, machine.read(CERTIFICATE), mode=0o600)


# systemd reads keys as root, from whom no mode hides a file: these are the keys that it cannot use.
# A user's own service is another matter, see below.
MISTAKES = {
    "broken TOML": Mistake(LISTEN_AND_TARGET + "web = /usr\n", (f"{ROUTE}:3:",)),
    "unknown key": Mistake(
        LISTEN_AND_TARGET + "tarket = 1\n", (f"{ROUTE}:3:", "tarket", "did you mean 'target'")
    ),
    "missing certificate": Mistake(
        LISTEN_AND_TARGET + TLS, (AT_CERTIFICATE, CERTIFICATE, *MISSING)
    ),
    "missing key": Mistake(
        LISTEN_AND_TARGET + TLS, (AT_KEY, KEY, *MISSING), without_key
    ),
    "directory for a key": Mistake(
        LISTEN_AND_TARGET + TLS,
        (AT_KEY, f"{KEY} is a directory, not a PEM file"),
        with_directory_for_key,
    ),
    "certificate for a key": Mistake(
        LISTEN_AND_TARGET + TLS,
        ("no private key in", "-----BEGIN PRIVATE KEY-----"),
        with_certificate_for_key,
    ),
    "key of another certificate": Mistake(
        LISTEN_AND_TARGET + TLS,
        ("does not belong to the first certificate", "the server's own certificate comes first"),
        with_key_of_another,
    ),
    "encrypted key": Mistake(
        LISTEN_AND_TARGET + TLS,
        ("is encrypted", "openssl pkey -in"),
        with_encrypted_key,
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


def test_what_a_service_of_a_user_may_not_read_is_named_with_the_cure(machine: Machine) -> None:
    # Here nobody reads it as root.
    machine.add_lingering_user("jane")
    certificate, key = make_pair()
    machine.write(CERTIFICATE, certificate)
    machine.write(KEY, key, mode=0o600)
    routes = "/home/jane/.config/websockify"
    machine.write(f"{routes}/vnc.toml", LISTEN_AND_TARGET + TLS)
    machine.run("chown", "-R", "jane:", "/home/jane/.config")
    systemctl = ("systemctl", "--user")
    machine.user("jane", *systemctl, "enable", "--now", SOCKET)
    # It is ready, and has said how it is, before this returns.
    machine.user("jane", *systemctl, "start", service())

    words = (f"{routes}/vnc.toml:5:7:", f"cannot read {KEY}", "let this user read it", "denied")
    shown = machine.user(
        "jane", *systemctl, "show", "--property=ActiveState,NRestarts,StatusText", service()
    )
    assert "ActiveState=active" in shown and "NRestarts=0" in shown, shown
    assert all(word in shown for word in words), shown
    record = machine.wait_for_record(
        f"_SYSTEMD_USER_UNIT={service()}",
        where=lambda record: all(word in record["MESSAGE"] for word in words),
    )
    assert machine.explanation(record)
    check = ("websockify", "check", "--config", routes, "vnc")
    checked = machine.attempt("runuser", "-u", "jane", "--", *check)
    assert checked.returncode == 78
    assert all(word in checked.stderr for word in words), checked.stderr


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


SOCKET_OF_THE_WRONG_KIND = "aef7661b7e1f448b915b3bdf900b7b02"

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
    # No service runs that could say it: the record is systemd's own.
    record = machine.wait_for_record(
        f"UNIT={SOCKET}", where=lambda record: "in use" in record["MESSAGE"]
    )
    assert str(PORT) in record["MESSAGE"]
    assert int(record["PRIORITY"]) <= 4
    assert machine.show(SOCKET, "ActiveState") == {"ActiveState": "failed"}
    assert machine.show(service(), "ActiveState") == {"ActiveState": "inactive"}
    # systemd does not know whose it is, and `check` does.
    squatter = f"'python3' (process {machine.main_pid('squatter.service')})"
    checked = machine.attempt("websockify", "check", "vnc")
    warning = f"{ROUTE}:1:10: warning: 0.0.0.0:{PORT} is in use now by {squatter}"
    assert f"{warning}: stop that, or listen elsewhere" in checked.stderr
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
    words = ("datagram", "write it as ListenStream= in its")
    state = machine.wait_for_unit(
        service(), lambda unit: all(word in unit["StatusText"] for word in words)
    )
    assert (state["ActiveState"], state["NRestarts"]) == ("active", "0")
    record = machine.wait_for_record(
        f"_SYSTEMD_UNIT={service()}",
        where=lambda record: all(word in record["MESSAGE"] for word in words),
    )
    assert int(record["PRIORITY"]) <= 3
    assert record["MESSAGE_ID"] == SOCKET_OF_THE_WRONG_KIND
    assert "ListenStream=" in machine.explanation(record)
    # The route's file is right, and `check` sees nothing but files.
    checked = machine.attempt("websockify", "check", "vnc")
    assert (checked.returncode, checked.stdout) == (0, "vnc: ok\n")
