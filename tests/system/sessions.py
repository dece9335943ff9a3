"""Routes whose sessions have a program of their own, each in a unit of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.sync.client import ClientConnection

from .machine import Machine
from .network import ANSWER_SECONDS_MAX
from .route import PORT

SESSION = "/usr/local/bin/session"

# Says who it is and who has come, and then does what it is told, a line each.
SESSION_TEXT = """\
#!/bin/sh
echo "$(id -un) $$ $REMOTE_ADDR $REMOTE_PORT $WEBSOCKIFY_SESSION"
while read -r verb rest; do
    case $verb in
        echo) echo "$rest" ;;
        complain) echo "$rest" >&2; echo done ;;
        resist)
            trap "" TERM HUP INT
            # Neither the end of the program nor any question ends these.
            setsid sleep 1000 &
            echo resisting
            while :; do sleep 1000; done ;;
        exit) exit "$rest" ;;
    esac
done
"""


def install_session(machine: Machine) -> None:
    machine.write(SESSION, SESSION_TEXT, mode=0o755)


def write_session_route(
    machine: Machine,
    *lines: str,
    command: str = f'["{SESSION}"]',
    listen: str = f"127.0.0.1:{PORT}",
    name: str = "vnc",
) -> None:
    text = [f'listen = "{listen}"', "[program]", f"command = {command}", "per-session = true", *lines]
    machine.write(f"/etc/websockify/{name}.toml", "\n".join(text) + "\n")


class Talk:
    """A session in which both sides speak in lines."""

    def __init__(self, session: ClientConnection) -> None:
        self.session = session
        self._heard = ""

    def say(self, text: str) -> None:
        self.session.send(f"{text}\n".encode())

    def line(self) -> str:
        """The next line of the program's."""
        while "\n" not in self._heard:
            message = self.session.recv(timeout=ANSWER_SECONDS_MAX)
            assert isinstance(message, bytes)
            self._heard += message.decode()
        line, _, self._heard = self._heard.partition("\n")
        return line.strip()

    def end(self) -> Close:
        """Waits for the end that the other side makes, and returns its Close frame."""
        with pytest.raises(ConnectionClosed) as closed:
            self.session.recv(timeout=ANSWER_SECONDS_MAX)
        assert closed.value.rcvd is not None, "the connection was cut"
        return closed.value.rcvd


@contextmanager
def talk(machine: Machine, port: int = PORT) -> Iterator[Talk]:
    with machine.network.websocket(port) as session:
        yield Talk(session)


def session_units(machine: Machine, name: str = "vnc") -> list[str]:
    """The units of the sessions that there are, in whatever state."""
    pattern = f"websockify-session-{name}@*.service"
    command = ("systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", pattern)
    return [text.split()[0] for text in machine.run(*command).splitlines()]


def unit_of(machine: Machine, pid: int) -> str:
    """The unit that a process belongs to."""
    return machine.run("cat", f"/proc/{pid}/cgroup").strip().rpartition("/")[2]


def wait_until_over(machine: Machine, unit: str) -> None:
    """Waits until a session's unit is gone, which is no longer known then."""
    machine.wait_for_unit(unit, lambda shown: shown["ActiveState"] == "inactive")
    assert unit not in session_units(machine)
