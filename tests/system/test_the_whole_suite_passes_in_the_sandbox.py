"""The end-to-end suite, its tests and its daemons alike, under the restrictions of the unit.

Stricter than in service: a forbidden system call kills instead of failing with EPERM, so that
there is none that a daemon meets and silently survives.
"""

import io
import json
import re
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from .machine import Machine
from .network import Target, assert_answers
from .root import REPOSITORY
from .route import PORT, enable, service, write_route

UNIT = "/usr/lib/systemd/system/websockify@.service"
PLACE = "/opt/suite"
OUTPUT = "/run/suite.log"
BUILD_SECONDS_MAX = 1200
SUITE_SECONDS_MAX = 600

LEFT_OUT = {
    # How a daemon lives, and no restriction.
    **dict.fromkeys(("Type", "ExecStart", "ExecReload", "WatchdogSec", "TimeoutStopSec"), "life"),
    **dict.fromkeys(("Restart", "RestartSec", "RestartPreventExitStatus"), "life"),
    "SocketBindDeny": "the tests' targets, and proxies with a command line, bind their own ports",
    "SystemCallErrorNumber": "without it, a forbidden call kills",
    "ProtectHome": "replaced by tmpfs: this checkout may be in somebody's home",
}

# What these put round their daemon, a namespace with a file system of its own, is forbidden itself.
# They run under all the rest.
IN_A_NAMESPACE = (
    "journal::a_journal_that_stands_still_stops_no_session_and_is_told_what_it_missed",
    "journal::a_start_that_fails_is_a_record_with_an_explanation",
    "journal::one_session_is_one_story_in_fields_and_nothing_is_on_standard_error",
    "targets::every_address_of_a_name_is_tried",
)
# What cannot run there, and why; by the beginning of the name.
ELSEWHERE = {
    "programs::classic::": "programs are wrapped by a command line here, which is no unit's",
    "programs::routes::": "they need the preload library, python3 and a compiler",
    "programs::per_session::": "not tried here yet",
    "record::a_full_disk": "the test mounts a disk, as root",
    "authentication::hashes_of_htpasswd": "htpasswd and mkpasswd are not in the machines",
    "client_certificates::": "openssl, which makes the certificates, is not in the machines",
    "handshake_rules::": "openssl, which makes the certificates, is not in the machines",
    "cluster::": "HAProxy and Redis are not in the machines",
    "dead_peers::a_": "the test gives the proxy and its peer networks, which is itself forbidden",
    "target_tls::openssl_as": "openssl is not in the machines",
    "target_tls::a_pinned_key": "openssl is not in the machines",
    "token_services::": "Redis, and openssl which signs the tokens, are not in the machines",
    "withdrawal::a_session_ends_when_redis": "Redis is not in the machines",
    "grants::only_root": "the test becomes another user, as root",
    "routes::check_says_which": "an administrator's check looks at the processes of others",
    "record::a_disk_that_stands_still": "the test mounts a disk, as root",
    "record::what_a_disk_does_not_take": "the test mounts a disk, as root",
}
REFUSED = re.compile(
    r"<(websockify|worker-\d+|tokio[^>]*)> (\w+\(\w*).* = -1 "
    r"(?:EPERM|EACCES|ENOSYS|EAFNOSUPPORT|EROFS|ENOTSUP)"
)
# What the C library asks for and lives without, by the beginning of the call.
KNOWN_REFUSALS = {
    "clone3(": "RestrictNamespaces= cannot look into its arguments; a thread is made with clone",
    "socket(AF_NETLINK": "to see which families of addresses this machine has; without, all of a "
    "name's addresses are tried",
}
NAMESPACES = ("RestrictNamespaces=no", "SystemCallFilter=@mount")


@pytest.fixture(scope="session")
def suite() -> Path:
    """The suite's program, built together with the binary that it tests."""
    build = ["cargo", "test", "--locked", "--package=websockify", "--test=e2e"]
    build += ["--no-run", "--message-format=json"]
    built = subprocess.run(
        build, cwd=REPOSITORY, capture_output=True, text=True, timeout=BUILD_SECONDS_MAX
    )
    assert built.returncode == 0, built.stderr
    artifacts = [json.loads(line) for line in built.stdout.splitlines()]
    named = (one for one in artifacts if one.get("target", {}).get("name") == "e2e")
    return next(Path(one["executable"]) for one in named if one.get("executable"))


@pytest.fixture
def sandbox(machine: Machine, suite: Path) -> "Sandbox":
    return Sandbox(machine, suite)


class Sandbox:
    """A service that runs the suite instead of a daemon."""

    def __init__(self, machine: Machine, suite: Path) -> None:
        self._machine = machine
        self._suite = suite
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            binary = REPOSITORY / "target/debug/websockify"
            for file in (suite, binary, REPOSITORY / "README.md"):
                tar.add(file, arcname=str(file.relative_to(REPOSITORY)))
        machine.run("mkdir", "-p", PLACE)
        machine.run("tar", "-xC", PLACE, given=archive.getvalue())
        machine.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")

    def run(self, *arguments: str, settings: tuple[str, ...] = ()) -> str:
        """What the suite prints, to whatever end."""
        unit = [
            "[Service]",
            "Type=oneshot",
            f"ExecStart={self._suite} {' '.join(arguments)}",
            # The program knows by this path where the binary is.
            f"BindReadOnlyPaths={PLACE}:{REPOSITORY}",
            f"WorkingDirectory={REPOSITORY}",
            f"StandardOutput=truncate:{OUTPUT}",
            "StandardError=inherit",
            "ProtectHome=tmpfs",
            *self.restrictions(),
            *settings,
        ]
        self._machine.write("/run/systemd/system/suite.service", "\n".join(unit) + "\n")
        self._machine.run("systemctl", "daemon-reload")
        self._machine.attempt("systemctl", "start", "suite.service", timeout=SUITE_SECONDS_MAX)
        return self._machine.read(OUTPUT)

    def restrictions(self) -> list[str]:
        """The lines of the installed unit."""
        _, service = self._machine.read(UNIT).split("[Service]")
        lines = [line for line in service.splitlines() if "=" in line and not line.startswith("#")]
        kept = [line for line in lines if line.split("=")[0] not in LEFT_OUT]
        assert "SystemCallFilter=@system-service" in kept
        return kept


def passed(output: str) -> int:
    """How many tests passed, in a run in which none failed."""
    good = r"^test result: ok\. (\d+) passed; 0 failed; 0 ignored"
    result = re.search(good, output, re.MULTILINE)
    assert result, output
    return int(result[1])


def test_every_test_of_the_suite_passes(sandbox: Sandbox) -> None:
    listed = re.findall(r"^(\S+): test$", sandbox.run("--list"), re.MULTILINE)
    elsewhere = [name for name in listed if name.startswith(tuple(ELSEWHERE))]
    for beginning in ELSEWHERE:
        assert any(name.startswith(beginning) for name in elsewhere), beginning
    skipped = (f"--skip={name}" for name in (*IN_A_NAMESPACE, *elsewhere))
    others = sandbox.run("--exact", *skipped)
    in_a_namespace = sandbox.run("--exact", *IN_A_NAMESPACE, settings=NAMESPACES)
    assert passed(in_a_namespace) == len(IN_A_NAMESPACE)
    assert passed(others) + len(IN_A_NAMESPACE) + len(elsewhere) == len(listed)


def test_without_a_call_that_the_daemon_needs_it_fails(sandbox: Sandbox) -> None:
    # The tests themselves have no use for it.
    one = "relaying::"
    assert passed(sandbox.run(one)) > 0
    output = sandbox.run(one, settings=("SystemCallFilter=~epoll_create1",))
    assert re.search(r"^test result: FAILED\. 0 passed", output, re.MULTILINE), output


def test_a_daemon_in_service_is_refused_nothing_that_it_needs(machine: Machine) -> None:
    # Also by what does not kill: families of addresses, namespaces, files and memory.
    machine.write("/etc/hosts", "127.0.0.1 localhost desktop\n::1 localhost desktop\n")
    machine.write("/srv/web/index.html", "index")
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"desktop:{target.port}", 'web = "/srv/web"')
        enable(machine)
        with traced(machine) as refusals:
            with machine.network.websocket(PORT) as session:
                assert_answers(session, "desktop")
            with machine.network.connect("127.0.0.1", PORT) as visitor:
                visitor.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert visitor.recv(15) == b"HTTP/1.0 200 OK"
            machine.run("systemctl", "kill", "--signal=HUP", service())
            machine.wait_for_record(
                f"_SYSTEMD_UNIT={service()}", where=lambda record: "reloaded" in record["MESSAGE"]
            )
            machine.run("systemctl", "stop", "websockify@vnc.socket", service())
    assert {call for _, call in refusals} == set(KNOWN_REFUSALS), refusals


@contextmanager
def traced(machine: Machine) -> Iterator[list[tuple[str, str]]]:
    """Gives, once it is over, which threads of the daemons begun meanwhile were refused what."""
    trace = ["strace", "--follow-forks", "--failed-only", "--decode-pids=comm"]
    trace += [f"--attach={machine.leader}", "--output=/dev/stdout"]
    refusals: list[tuple[str, str]] = []
    with TemporaryFile("w+") as output, subprocess.Popen(
        trace, stdout=output, stderr=subprocess.PIPE, text=True
    ) as strace:
        assert strace.stderr is not None
        attached = strace.stderr.readline()
        assert "attached" in attached, attached
        # What else it says of processes must not fill the pipe.
        reader = threading.Thread(target=strace.stderr.read, daemon=True)
        reader.start()
        try:
            yield refusals
        finally:
            strace.terminate()
            strace.wait()
            reader.join()
        output.seek(0)
        refusals += REFUSED.findall(output.read())
