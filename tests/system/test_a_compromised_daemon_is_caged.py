"""What code can do that runs in the daemon's place: nothing beyond its route.

The unit and its drop-ins are the package's and the generator's; only the program is another one,
which answers on the route's socket with what it could do.
"""

import ast
from collections.abc import Iterator

import pytest

from .machine import Machine
from .network import Neighbour, Target
from .route import PORT, enable, write_route

INTRUDER = """\
import ast, os, socket, sys

def run(command):
    if os.system(command) != 0:
        raise OSError(command)

def connect(host, port):
    with socket.create_connection((host, int(port)), 2) as stream:
        return stream.recv(64).decode()

def read(path):
    with open(os.path.expandvars(path)) as file:
        return file.read()

def write(path):
    with open(path, "w") as file:
        file.write("intruder")

def bind(port):
    socket.create_server(("127.0.0.1", int(port))).close()

def raw():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()

def become_root():
    os.setuid(0)

def new_namespace():
    run("unshare --user --mount true")

def mount():
    run("mount -t tmpfs none /tmp")

def set_user_id_file():
    write("/tmp/shell")
    os.chmod("/tmp/shell", 0o4755)

def see_process(pid):
    return read(f"/proc/{pid}/cmdline")

def privileges():
    fields = dict(line.split(":", 1) for line in read("/proc/self/status").splitlines())
    return {name: fields[name].strip() for name in ("CapBnd", "CapEff", "NoNewPrivs", "Seccomp")}

listener = socket.socket(fileno=3)
while True:
    client, _ = listener.accept()
    with client, client.makefile("rw") as lines:
        name, *arguments = ast.literal_eval(lines.readline())
        try:
            answer = {"done": globals()[name](*arguments)}
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        lines.write(repr(answer))
"""

ROUTE_TARGET = "10.11.1.2"


@pytest.fixture
def intruder(machine: Machine) -> Iterator["Intruder"]:
    with (
        Neighbour(machine.network, 1) as friend,
        Neighbour(machine.network, 2) as third,
        Target(friend, "target", host=friend.address, port=5900),
        Target(third, "third", host=third.address, port=5900),
        Target(machine.network, "local", port=5900),
    ):
        assert friend.address == ROUTE_TARGET
        write_route(machine, f"{friend.address}:5900")
        machine.write("/usr/local/lib/intruder.py", INTRUDER)
        machine.write("/etc/ssl/private/secret.key", "secret", mode=0o600)
        machine.write(
            "/etc/systemd/system/websockify@vnc.service.d/99-intruder.conf",
            "[Service]\nType=exec\nWatchdogSec=0\nExecStart=\n"
            "ExecStart=/usr/bin/python3 /usr/local/lib/intruder.py\n",
        )
        enable(machine)
        yield Intruder(machine)


class Intruder:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def tries(self, name: str, *arguments: str) -> str | None:
        """Why it failed, or None where it succeeded."""
        return self._ask(name, *arguments).get("failed")

    def gets(self, name: str, *arguments: str) -> object:
        """What came of something that must succeed."""
        answer = self._ask(name, *arguments)
        assert "done" in answer, answer
        return answer["done"]

    def _ask(self, *question: str) -> dict[str, object]:
        with (
            self._machine.network.connect("127.0.0.1", PORT) as stream,
            stream.makefile("rw") as lines,
        ):
            lines.write(repr(question) + "\n")
            lines.flush()
            return ast.literal_eval(lines.readline())


def test_it_reaches_its_target_and_no_third_address(intruder: Intruder) -> None:
    # The first line shows that the question itself is right.
    assert intruder.gets("connect", ROUTE_TARGET, "5900") == "target"
    for host in ("10.11.2.2", "127.0.0.1"):
        assert intruder.tries("connect", host, "5900")


def test_it_opens_no_sockets_of_other_kinds(machine: Machine, intruder: Intruder) -> None:
    assert intruder.tries("raw")
    # Debian 12 builds its systemd without what SocketBindDeny= needs.
    if "+BPF_FRAMEWORK" in machine.run("systemctl", "--version"):
        assert intruder.tries("bind", "7777")
    else:
        assert machine.release == "bookworm"


def test_it_writes_nowhere_that_lasts(machine: Machine, intruder: Intruder) -> None:
    for directory in ("/etc", "/etc/websockify", "/usr/bin", "/var/lib", "/root", "/home", "/run"):
        assert intruder.tries("write", f"{directory}/intruder"), directory
    # A temporary file of its own is all it has, and nobody else sees it.
    assert intruder.tries("write", "/tmp/intruder") is None
    assert not machine.exists("/tmp/intruder")


def test_it_reads_no_secrets_and_sees_no_other_process(intruder: Intruder) -> None:
    assert intruder.gets("read", "/etc/websockify/vnc.toml")
    assert intruder.tries("read", "/etc/ssl/private/secret.key")
    assert intruder.tries("read", "/etc/shadow")
    assert intruder.tries("see_process", "1")


def test_it_gains_no_privileges(intruder: Intruder) -> None:
    for attempt in ("become_root", "new_namespace", "mount", "set_user_id_file"):
        assert intruder.tries(attempt), attempt
    assert intruder.gets("privileges") == {
        "CapBnd": "0" * 16,
        "CapEff": "0" * 16,
        "NoNewPrivs": "1",
        "Seccomp": "2",
    }
