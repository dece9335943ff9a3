"""A booted Debian: a container with a systemd of its own, seen from outside.

Its systemd never meets this machine's: it has its own namespaces, its own control group, and its
own file system, an overlay in a mount namespace that ends with it.
"""

import json
import os
import secrets
import select
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from jeepney import DBusAddress, MatchRule, message_bus, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from .host import control_groups
from .network import Network
from .root import RELEASES, SYSTEM, Root

BOOT_SECONDS_MAX = 60
POWER_OFF_SECONDS_MAX = 60
COMMAND_SECONDS_MAX = 60
EVENT_SECONDS_MAX = 30

NSPAWN = (
    "systemd-nspawn",
    "--quiet",
    "--register=no",
    "--keep-unit",
    "--notify-ready=yes",
    "--private-network",
    "--link-journal=no",
    "--console=read-only",
    # IPAddressAllow= and IPAddressDeny= are programs in the kernel.
    "--capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON",
    "--system-call-filter=bpf",
)

# The mounts are seen by this process and what it starts, and go with them.
START = """
echo 0 >"$1/cgroup.procs"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$3/upper,workdir=$3/work" "$3/root"
shift 3
exec "$@"
"""

JOIN = 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"'

# A program that was started from outside must end before its machine does: when it is killed from
# outside, the systemd of Debian 12 waits ten seconds for it at power off.
UNTIL_STDIN_ENDS = '"$@" & cat >/dev/null; kill $! && wait $! || true'

Record = dict[str, Any]
"""A record of the journal. A value is a string, or a list of strings or of bytes' numbers."""


class Machine:
    """One container, which can be booted more than once."""

    def __init__(self, root: Root) -> None:
        self.release = root.release
        self.systemd_version = RELEASES[root.release]
        SYSTEM.mkdir(parents=True, exist_ok=True)
        self._lower = root.layers
        self._directory = Path(tempfile.mkdtemp(prefix="machine-", dir=SYSTEM))
        for part in ("upper", "work", "root"):
            (self._directory / part).mkdir()
        self._cgroup = _cgroup_of(self._directory)
        self._cgroup.mkdir()
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    # Boots and ends.

    def boot(self) -> None:
        """Starts it, and waits until its systemd says that everything is started."""
        assert self._nspawn is None, "it runs already"
        name = f"\0{self._directory.name}-{secrets.token_hex(4)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
            notifications.bind(name)
            with (self._directory / "console").open("ab") as console:
                self._nspawn = subprocess.Popen(
                    [
                        # Should this process die, so does the container.
                        *("unshare", "--mount", "--propagation=private"),
                        *("setpriv", "--pdeathsig=KILL", "sh", "-euc", START, "sh"),
                        *(self._cgroup, ":".join(map(str, self._lower)), self._directory),
                        *(*NSPAWN, f"--directory={self._directory / 'root'}"),
                        *(f"--machine={self.release}", "--boot"),
                    ],
                    env={
                        **os.environ,
                        "NOTIFY_SOCKET": "@" + name[1:],
                        "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                )
            self._leader = self._wait_until_ready(notifications)
        self.network = Network(self._leader)

    def _wait_until_ready(self, notifications: socket.socket) -> int:
        """The process id of the container's systemd, once everything is started."""
        assert self._nspawn is not None
        leader = 0
        deadline = time.monotonic() + BOOT_SECONDS_MAX
        ended = os.pidfd_open(self._nspawn.pid)
        try:
            with selectors.DefaultSelector() as events:
                events.register(notifications, selectors.EVENT_READ)
                events.register(ended, selectors.EVENT_READ)
                while ready := events.select(max(0, deadline - time.monotonic())):
                    if any(key.fd == ended for key, _ in ready):
                        break
                    for line in notifications.recv(4096).decode().splitlines():
                        if line.startswith("X_NSPAWN_LEADER_PID="):
                            leader = int(line.partition("=")[2])
                        if line == "READY=1":
                            return leader
        finally:
            os.close(ended)
        console = (self._directory / "console").read_text(errors="backslashreplace")
        self.discard()
        pytest.fail(f"{self.release} did not boot; its console:\n{console}", pytrace=False)

    def power_off(self) -> None:
        """Shuts it down in order; what it wrote stays for the next boot."""
        assert self._nspawn is not None
        # Its systemd takes this signal for `systemctl poweroff`.
        os.kill(self._leader, signal.SIGRTMIN + 4)
        self._nspawn.wait(POWER_OFF_SECONDS_MAX)
        self._nspawn = None

    def reboot(self) -> None:
        self.power_off()
        self.boot()

    def discard(self) -> None:
        """Ends it whatever it does, and removes all of it, unless its files were kept."""
        if self._nspawn is not None:
            try:
                self.power_off()
            except (ProcessLookupError, subprocess.TimeoutExpired):
                # Its control group holds nothing but what this object started.
                _kill_cgroup(self._cgroup)
                self._nspawn.wait()
                self._nspawn = None
        _remove_cgroups(self._cgroup)
        shutil.rmtree(self._directory)

    def into_root(self, lower: Root, layer: Path) -> Root:
        """Ends it, and makes what it wrote a layer for other machines."""
        self.power_off()
        # Machines made from it must not share these.
        for own in ("etc/machine-id", "var/lib/systemd/random-seed"):
            (self._directory / "upper" / own).unlink(missing_ok=True)
        shutil.rmtree(self._directory / "upper/var/log/journal", ignore_errors=True)
        (self._directory / "upper").rename(layer)
        (self._directory / "upper").mkdir()
        return lower.under(layer)

    # Commands and files.

    def attempt(
        self, *command: str, given: str | bytes = b"", timeout: float = COMMAND_SECONDS_MAX
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command as root inside, to whatever end."""
        done = subprocess.run(
            self.command(*command),
            input=given.encode() if isinstance(given, str) else given,
            capture_output=True,
            timeout=timeout,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        )
        return subprocess.CompletedProcess(
            command,
            done.returncode,
            done.stdout.decode(errors="backslashreplace"),
            done.stderr.decode(errors="backslashreplace"),
        )

    def run(self, *command: str, given: str | bytes = b"") -> str:
        """Runs a command that must succeed, and returns what it printed."""
        done = self.attempt(*command, given=given)
        assert done.returncode == 0, (
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def command(self, *command: str) -> list[str]:
        """What to run here so that the command runs inside."""
        enter = ("nsenter", f"--target={self._leader}", "--all", "--")
        # nsenter waits outside for the command inside, and would not take it along when killed.
        inside = ("setpriv", "--pdeathsig=KILL", *command)
        # Its systemd talks to nobody who is in a control group that it cannot see.
        group = self._cgroup / "payload/init.scope"
        return ["sh", "-euc", JOIN, "sh", str(group), *enter, *inside]

    def write(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        # By a program inside: a link must lead to where it does inside.
        parent = path.rpartition("/")[0]
        script = 'mkdir -p "$1" && rm -f "$2" && (umask 077; cat >"$2") && chmod "$3" "$2"'
        self.run("sh", "-c", script, "sh", parent, path, f"{mode:o}", given=content)

    def read(self, path: str) -> str:
        return self.run("cat", path)

    @property
    def leader(self) -> int:
        """The process id of its systemd, as this machine counts."""
        return self._leader

    def outside(self, path: str) -> str:
        """Where a path inside, with no links in it, is seen from here."""
        return f"/proc/{self._leader}/root{path}"

    def exists(self, path: str) -> bool:
        return self.attempt("test", "-e", path).returncode == 0

    def add_lingering_user(self, name: str) -> None:
        """Makes a user whose user manager runs without anybody logged in, and waits until it does."""
        self.run("useradd", "--create-home", name)
        self.run("loginctl", "enable-linger", name)
        uid = self.run("id", "-u", name).strip()
        self.wait_for_unit(f"user@{uid}.service", lambda unit: unit["ActiveState"] == "active")

    def user(self, name: str, *command: str) -> str:
        """Runs a command as a user who has a user manager."""
        uid = self.run("id", "-u", name).strip()
        environment = [f"XDG_RUNTIME_DIR=/run/user/{uid}", f"HOME=/home/{name}"]
        return self.run("runuser", "-u", name, "--", "env", *environment, *command)

    def signal(self, pid: int, number: signal.Signals) -> None:
        # The shell's own: Debian's kill is in a package that a machine need not have.
        self.run("sh", "-c", f"kill -{number.value} {pid}")

    # Units.

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """The named properties of a unit, as `systemctl show` prints them."""
        printed = self.run("systemctl", "show", f"--property={','.join(names)}", unit)
        return dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)

    def main_pid(self, unit: str) -> int:
        return int(self.show(unit, "MainPID")["MainPID"])

    def status(self, unit: str) -> str:
        """What the unit says of itself, in words."""
        return self.show(unit, "StatusText")["StatusText"]

    def wait_for_unit(
        self,
        unit: str,
        condition: Callable[[dict[str, str]], bool],
        timeout: float = EVENT_SECONDS_MAX,
    ) -> dict[str, str]:
        """Waits until the unit's properties fulfil a condition, woken by its systemd's signals."""
        names = ("ActiveState", "SubState", "Result", "StatusText", "MainPID", "NRestarts")
        deadline = time.monotonic() + timeout
        with self._changes() as changed:
            while not condition(properties := self.show(unit, *names)):
                left = deadline - time.monotonic()
                assert left > 0, f"{unit} stays {properties}"
                changed(left)
        return properties

    @contextmanager
    def _changes(self) -> Iterator[Callable[[float], None]]:
        """Gives what waits for the next change of any unit, at most so many seconds."""
        path = f"unix:path=/proc/{self._leader}/root/run/dbus/system_bus_socket"
        connection: DBusConnection
        with open_dbus_connection(bus=path) as connection:
            manager = DBusAddress(
                "/org/freedesktop/systemd1",
                bus_name="org.freedesktop.systemd1",
                interface="org.freedesktop.systemd1.Manager",
            )
            rule = MatchRule(type="signal", sender="org.freedesktop.systemd1")
            connection.send_and_get_reply(message_bus.AddMatch(rule))
            connection.send_and_get_reply(new_method_call(manager, "Subscribe"))

            def changed(seconds: float) -> None:
                try:
                    connection.receive(timeout=seconds)
                except TimeoutError:
                    # The caller's own deadline has passed, and it says what it waited for.
                    return

            yield changed

    # The journal.

    def journal(self, *matches: str) -> list[Record]:
        """The records of all boots that match, like `_PID=1` or `MESSAGE_ID=...`."""
        printed = self.run("journalctl", "--output=json", "--all", "--no-pager", *matches)
        return [json.loads(line) for line in printed.splitlines()]

    def wait_for_record(
        self,
        *matches: str,
        where: Callable[[Record], bool] = lambda _: True,
        timeout: float = EVENT_SECONDS_MAX,
    ) -> Record:
        """The first record that matches, waited for if need be."""
        follow = ["journalctl", "--output=json", "--all", "--follow", "--no-tail", *matches]
        journal = subprocess.Popen(
            self.command("sh", "-c", UNTIL_STDIN_ENDS, "sh", *follow),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert journal.stdin is not None
        assert journal.stdout is not None
        deadline = time.monotonic() + timeout
        pending = b""
        try:
            with selectors.DefaultSelector() as events:
                events.register(journal.stdout, selectors.EVENT_READ)
                while events.select(max(0, deadline - time.monotonic())):
                    chunk = os.read(journal.stdout.fileno(), 65536)
                    assert chunk, "journalctl ended"
                    *lines, pending = (pending + chunk).split(b"\n")
                    for record in map(json.loads, lines):
                        if where(record):
                            return record
        finally:
            journal.stdin.close()
            journal.wait(COMMAND_SECONDS_MAX)
            journal.stdout.close()
        raise AssertionError(f"no such record within {timeout} s: {' '.join(matches)}")

    def explanation(self, record: Record) -> str:
        """What the catalog says about a record, as `journalctl -x` shows it."""
        shown = self.run(
            *("journalctl", "--catalog", "--no-pager"),
            f"--cursor={record['__CURSOR']}",
            *("--lines=1", f"MESSAGE_ID={record['MESSAGE_ID']}"),
        )
        assert "-- Defined-By: websockify" in shown or "░░ Defined-By: websockify" in shown, shown
        return shown

    def story(self) -> str:
        """The whole journal, for people."""
        return self.attempt("journalctl", "--no-pager", "--output=short-monotonic").stdout


def _cgroup_of(directory: Path) -> Path:
    groups = control_groups()
    assert groups is not None, "looked for before the first test"
    return groups / f"websockify-{directory.name}"


def _kill_cgroup(cgroup: Path) -> None:
    """Kills all that is in there, and waits until it is empty."""
    (cgroup / "cgroup.kill").write_text("1")
    with (cgroup / "cgroup.events").open() as events:
        changes = select.poll()
        changes.register(events, select.POLLPRI)
        while "populated 1" in events.read():
            assert changes.poll(POWER_OFF_SECONDS_MAX * 1000), f"{cgroup} does not die"
            events.seek(0)


def _remove_cgroups(top: Path) -> None:
    for directory, _, _ in os.walk(top, topdown=False):
        os.rmdir(directory)


def remove_leftovers() -> None:
    """Removes what a test run that was killed left behind. To be called while no other one runs."""
    for directory in SYSTEM.glob("machine-*"):
        cgroup = _cgroup_of(directory)
        if cgroup.exists():
            _kill_cgroup(cgroup)
            _remove_cgroups(cgroup)
        shutil.rmtree(directory)
