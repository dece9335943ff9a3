"""With per-session = true each session has a program of its own, in a unit of its own, which ends with it."""

from contextlib import ExitStack

import pytest
from websockets.exceptions import InvalidStatus

from .machine import Machine
from .network import ANSWER_SECONDS_MAX
from .programs import processes, wait_for_status
from .route import PORT, enable, service
from .sessions import (
    SESSION,
    SESSION_TEXT,
    install_session,
    session_units,
    talk,
    unit_of,
    wait_until_over,
    write_session_route,
)

SOCKET = "/run/websockify-sessions/vnc"


def test_each_session_has_its_unit_its_user_and_its_variables(machine: Machine) -> None:
    install_session(machine)
    machine.run("useradd", "--create-home", "alice")
    write_session_route(
        machine,
        'user = "alice"',
        'working-directory = "/home/alice"',
        'environment = { GREETING = "a  $HOME \'b\' %n" }',
        'properties = { LimitNOFILE = "512:1024" }',
        command=f'["/bin/sh", "-c", "echo \\"$GREETING|$PWD|$HOME\\"; exec {SESSION}"]',
    )
    enable(machine)
    assert session_units(machine) == []
    with ExitStack() as stack:
        sessions = [stack.enter_context(talk(machine)) for _ in range(4)]
        told = []
        for session in sessions:
            assert session.line() == "a  $HOME 'b' %n|/home/alice|/home/alice"
            told.append(session.line().split())
        for user, pid, address, port, name in told:
            assert (user, address) == ("alice", "127.0.0.1")
            assert int(port) > 0
            assert len(name) == 8
            unit = unit_of(machine, int(pid))
            assert unit.startswith("websockify-session-vnc@")
            assert machine.show(unit, "LimitNOFILE", "LimitNOFILESoft") == {
                "LimitNOFILE": "1024",
                "LimitNOFILESoft": "512",
            }
        assert len({port for *_, port, _ in told}) == 4
        units = [unit_of(machine, int(pid)) for _, pid, *_ in told]
        assert sorted(units) == sorted(session_units(machine))
        assert len(set(units)) == 4
        # One ends: the others go on.
        sessions[0].session.close()
        wait_until_over(machine, units[0])
        for number, session in enumerate(sessions[1:]):
            session.say(f"echo {number}")
            assert session.line() == str(number)
        # The program ends: the session is over, and what it said last has come.
        sessions[1].say("echo last\nexit 0")
        assert sessions[1].line() == "last"
        closed = sessions[1].end()
        assert closed.code == 1000
        wait_until_over(machine, units[1])
        # It fails: so the client hears.
        sessions[2].say("exit 3")
        closed = sessions[2].end()
        assert closed.code == 1011
        assert "status 3" in closed.reason
        wait_until_over(machine, units[2])
        # What it complains of is in the journal, beside what the proxy says of the session.
        sessions[3].say("complain aloud")
        assert sessions[3].line() == "done"
        record = machine.wait_for_record("WEBSOCKIFY_ROUTE=vnc", where=lambda r: r["MESSAGE"].startswith("aloud"))
        assert record["_SYSTEMD_UNIT"] == units[3]
        assert record["WEBSOCKIFY_SESSION"] == told[3][4]
        assert machine.journal(f"WEBSOCKIFY_SESSION={told[3][4]}", f"_SYSTEMD_UNIT={service()}")
        # The route ends, and all that is left with it.
        machine.run("systemctl", "stop", service())
        wait_until_over(machine, units[3])
    assert machine.show("websockify-session-vnc.socket", "ActiveState") == {"ActiveState": "inactive"}
    # Its own socket starts it again, and that of its sessions.
    with talk(machine) as session:
        assert session.line().startswith("a  $HOME")
    machine.run("systemctl", "restart", service())
    with talk(machine) as session:
        assert session.line().startswith("a  $HOME")


def test_nothing_survives_the_end_of_its_session(machine: Machine) -> None:
    install_session(machine)
    write_session_route(machine)
    enable(machine)
    with talk(machine) as session:
        user, pid, *_ = session.line().split()
        assert user == "websockify-session-vnc", "somebody who exists only meanwhile"
        unit = unit_of(machine, int(pid))
        session.say("resist")
        assert session.line() == "resisting"
        # The unit's main process, the shell, and what it has started.
        assert len(processes(machine, unit)) >= 3
    wait_until_over(machine, unit)
    assert machine.attempt("test", "-e", f"/proc/{pid}").returncode != 0
    assert machine.attempt("sh", "-c", f"cat /sys/fs/cgroup/system.slice/*/{unit}/cgroup.procs").returncode != 0
    # The daemon dies: its sessions are over.
    with talk(machine) as session:
        unit = unit_of(machine, int(session.line().split()[1]))
        machine.run("sh", "-c", f"kill -KILL {machine.main_pid(service())}")
        wait_until_over(machine, unit)
    # The unit dies, or is stopped: its session is over, and no other one.
    machine.wait_for_unit(service(), lambda shown: shown["SubState"] == "running")
    with talk(machine) as other, talk(machine) as session:
        other.line()
        unit = unit_of(machine, int(session.line().split()[1]))
        machine.run("systemctl", "kill", "--signal=KILL", unit)
        assert session.end().code == 1011
        other.say("echo still")
        assert other.line() == "still"


def test_a_terminal_is_the_programs_own(machine: Machine) -> None:
    machine.run("useradd", "--create-home", "--shell", "/bin/bash", "alice")
    write_session_route(machine, "pty = true", 'user = "alice"', command='["/bin/sh", "-i"]')
    enable(machine)
    with machine.network.websocket(PORT, path="/?columns=132&rows=43") as session:
        session.send(b"stty size; stat --format=%U $(tty); echo pid=$$=$TERM\n")
        text = ""
        while "\r\npid=" not in text or not text.partition("\r\npid=")[2].count("="):
            message = session.recv(timeout=ANSWER_SECONDS_MAX)
            assert isinstance(message, bytes)
            text += message.decode()
        assert "\r\n43 132\r\nalice\r\npid=" in text
        pid = int(text.partition("\r\npid=")[2].partition("=")[0])
        unit = unit_of(machine, pid)
        # A shell with a terminal ignores SIGTERM, and hears of the end by its terminal.
        session.send(b"sleep 1000 &\n")
    wait_until_over(machine, unit)
    assert machine.attempt("test", "-e", f"/proc/{pid}").returncode != 0


def test_only_the_routes_own_service_can_ask_for_a_program(machine: Machine) -> None:
    install_session(machine)
    machine.run("useradd", "mallory")
    write_session_route(machine)
    write_session_route(machine, name="other", listen="127.0.0.1:6090")
    enable(machine)
    enable(machine, "other")
    connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    with talk(machine) as session, talk(machine, 6090) as other:
        for each in (session, other):
            assert each.line()
        refused = machine.attempt("runuser", "-u", "mallory", "--", "python3", "-c", connect, SOCKET)
        assert "PermissionError" in refused.stderr
        # The same user id in its own file system, and in that of another route.
        daemons = {name: machine.main_pid(service(name)) for name in ("vnc", "other")}
        for name, words in (("vnc", ""), ("other", "FileNotFoundError")):
            ids = machine.run("stat", "--format=%u %g", f"/proc/{daemons[name]}").split()
            tried = machine.attempt(
                *("nsenter", f"--target={daemons[name]}", "--mount", "--"),
                *("setpriv", f"--reuid={ids[0]}", f"--regid={ids[1]}", "--clear-groups", "--no-new-privs"),
                *("python3", "-c", connect, SOCKET),
            )
            assert tried.stderr.strip().rpartition("\n")[2].startswith(words), tried.stderr
            assert (tried.returncode == 0) == (words == ""), tried.stderr
        # And it can start nothing by itself.
        ids = machine.run("stat", "--format=%u %g", f"/proc/{daemons['vnc']}").split()
        become = ("setpriv", f"--reuid={ids[0]}", f"--regid={ids[1]}", "--clear-groups", "--no-new-privs")
        for unit in ("websockify-session-vnc@9-9-9.service", "websockify-session-vnc.socket"):
            assert machine.attempt(*become, "systemctl", "--no-ask-password", "start", unit).returncode != 0
            assert machine.attempt(*become, "systemctl", "--no-ask-password", "stop", unit).returncode != 0


def test_a_program_that_cannot_be_started_is_explained(machine: Machine) -> None:
    install_session(machine)
    machine.write("/usr/local/bin/plain", SESSION_TEXT, mode=0o644)
    mistakes = {
        "missing": ((), '["/nonexistent"]', "cannot start the program '/nonexistent'"),
        "mode": ((), '["/usr/local/bin/plain"]', "cannot start the program '/usr/local/bin/plain'"),
        "user": (('user = "nobody-there"',), f'["{SESSION}"]', "there is no such user as nobody-there"),
        "sandbox": (('properties = { RootDirectory = "/nonexistent" }',), f'["{SESSION}"]', "its unit ended"),
    }
    for number, (name, (lines, command, words)) in enumerate(mistakes.items()):
        listen = PORT + number
        write_session_route(machine, *lines, command=command, listen=f"127.0.0.1:{listen}", name=name)
        enable(machine, name)
        with pytest.raises(InvalidStatus) as refused, machine.network.websocket(listen):
            pass
        assert refused.value.response.status_code == 502
        machine.wait_for_record(
            f"WEBSOCKIFY_ROUTE={name}",
            f"_SYSTEMD_UNIT={service(name)}",
            where=lambda record, words=words: any(words in str(value) for value in record.values()),
        )
        assert session_units(machine, name) == []
    wait_for_status(machine, "no session can have its program: there is no such user as nobody-there", "user")


def test_a_file_that_others_could_have_written_makes_no_units(machine: Machine) -> None:
    install_session(machine)
    write_session_route(machine)
    machine.run("chmod", "0664", "/etc/websockify/vnc.toml")
    enable(machine)
    assert "chmod go-w" in machine.show(service(), "Description")["Description"]
    assert machine.show("websockify-session-vnc.socket", "LoadState") == {"LoadState": "not-found"}
    with pytest.raises(InvalidStatus) as refused, machine.network.websocket(PORT):
        pass
    assert refused.value.response.status_code == 502
    wait_for_status(machine, "systemd does not listen on /run/websockify-sessions/vnc")
    machine.run("chmod", "0644", "/etc/websockify/vnc.toml")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", service())
    with talk(machine) as session:
        assert session.line()


def test_a_user_has_units_of_sessions_too(machine: Machine) -> None:
    install_session(machine)
    machine.add_lingering_user("jane")
    write_session_route(machine)
    machine.run("mkdir", "--parents", "/home/jane/.config/websockify")
    machine.run("mv", "/etc/websockify/vnc.toml", "/home/jane/.config/websockify/vnc.toml")
    machine.run("chown", "-R", "jane:", "/home/jane/.config")
    machine.user("jane", "systemctl", "--user", "enable", "--now", "websockify@vnc.socket")
    with talk(machine) as session:
        user, pid, *_ = session.line().split()
        assert user == "jane"
        assert unit_of(machine, int(pid)).startswith("websockify-session-vnc@")
    machine.user("jane", "systemctl", "--user", "stop", service())
