"""A route's program runs as websockify-program@NAME.service, and its end means what the route's file says."""

import signal

import pytest
from websockets.exceptions import ConnectionClosed

from .machine import Machine
from .network import ANSWER_SECONDS_MAX
from .programs import (
    PROGRAM_PORT,
    SERVER,
    ask,
    install_server,
    kill,
    listening,
    processes,
    program_unit,
    servers,
    static_server,
    wait_for_status,
    wait_until_gone,
    write_program,
)
from .route import PORT, enable, service

PORT_NOT_MOVED = "MESSAGE_ID=28e93754b99344208aabe895ad0068cd"

MODES = ("exit", "ignore", "respawn")


@pytest.fixture(params=["rebind", "private-network"])
def isolation(request: pytest.FixtureRequest) -> str:
    return request.param


def test_crashes_and_ends_leave_what_on_exit_says(machine: Machine, isolation: str) -> None:
    install_server(machine)
    ports = dict(zip(MODES, (6081, 6082, 6083), strict=True))
    for number, (mode, listen) in enumerate(ports.items()):
        port = PROGRAM_PORT + number
        background = ', "background"' if mode == "ignore" else ""
        write_program(
            machine,
            f'on-exit = "{mode}"',
            f'isolation = "{isolation}"',
            f"port = {port}",
            command=f'["{SERVER}", "{port}"{background}]',
            listen=listen,
            name=mode,
        )
        enable(machine, mode)
    pids = {mode: ask(machine, listen) for mode, listen in ports.items()}
    for mode, pid in pids.items():
        assert processes(machine, program_unit(mode)) == [pid]
        wait_for_status(machine, "server runs", mode)
    for line in listening(machine).splitlines():
        place = line.split()[3]
        assert place.rpartition(":")[2] not in {str(PROGRAM_PORT + n) for n in range(3)}, line
        if isolation == "private-network":
            assert place.rpartition(":")[2] in {str(port) for port in ports.values()}, line

    # The daemon dies: the program is not disturbed, and the daemon is back with it.
    for mode in MODES:
        daemon = machine.main_pid(service(mode))
        machine.signal(daemon, signal.SIGKILL)
        machine.wait_for_unit(
            service(mode),
            lambda unit, daemon=daemon: (
                unit["ActiveState"] == "active" and int(unit["MainPID"]) not in (0, daemon)
            ),
        )
        assert ask(machine, ports[mode]) == pids[mode]
    # So is it by a restart.
    machine.run("systemctl", "restart", *(service(mode) for mode in MODES))
    for mode in MODES:
        assert ask(machine, ports[mode]) == pids[mode]

    # The program dies.
    kill(machine, *pids.values())
    # exit: the route's service ends as a shell would; its socket waits, and who comes next starts both.
    wait_until_gone(machine, service("exit"))
    shown = machine.show(service("exit"), "Result", "ExecMainStatus")
    assert shown == {"Result": "exit-code", "ExecMainStatus": "137"}
    wait_until_gone(machine, program_unit("exit"))
    pids["exit"] = ask(machine, ports["exit"])
    # ignore: the daemon stays and says so, to people and to clients. Of what went to the background systemd knows no more.
    wait_for_status(machine, "server has ended", "ignore")
    wait_until_gone(machine, program_unit("ignore"))
    with (
        machine.network.websocket(ports["ignore"], origin="http://localhost") as session,
        pytest.raises(ConnectionClosed) as closed,
    ):
        session.recv(timeout=ANSWER_SECONDS_MAX)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    # respawn: clients wait until there is another.
    again = ask(machine, ports["respawn"])
    assert again != pids["respawn"]
    assert processes(machine, program_unit("respawn")) == [again]
    pids["respawn"] = again

    # Both die.
    for mode in ("exit", "respawn"):
        daemon = machine.main_pid(service(mode))
        kill(machine, daemon, pids[mode])
        machine.wait_for_unit(
            service(mode),
            lambda unit, daemon=daemon: (
                unit["ActiveState"] == "active" and int(unit["MainPID"]) not in (0, daemon)
            ),
        )
        again = ask(machine, ports[mode])
        assert again != pids[mode]
        assert processes(machine, program_unit(mode)) == [again]
        pids[mode] = again

    # The program's own status is the route's.
    ask(machine, ports["exit"], b"exit 3")
    wait_until_gone(machine, service("exit"))
    assert machine.show(service("exit"), "ExecMainStatus") == {"ExecMainStatus": "3"}
    assert ask(machine, ports["exit"]) > 0
    # A route that is stopped takes its program along.
    machine.run("systemctl", "restart", service("ignore"))
    assert ask(machine, ports["ignore"]) > 0
    machine.run("systemctl", "stop", *(service(mode) for mode in MODES))
    assert servers(machine) == []
    for mode in MODES:
        assert machine.show(program_unit(mode), "ActiveState") == {"ActiveState": "inactive"}


def test_what_cannot_be_moved_runs_in_a_private_network(machine: Machine) -> None:
    install_server(machine)
    static = "/usr/local/bin/static-server"
    machine.write(static, static_server(), mode=0o755)
    commands = {"static": f'["{static}", "5901"]', "ipv6": f'["{SERVER}", "5901", "ipv6"]'}
    for number, (name, command) in enumerate(commands.items()):
        write_program(
            machine,
            'isolation = "private-network"',
            command=command,
            listen=PORT + number,
            name=name,
        )
        enable(machine, name)
        pid = ask(machine, PORT + number)
        assert processes(machine, program_unit(name)) == [pid]
    assert not [line for line in listening(machine).splitlines() if "5901" in line.split()[3]]


def test_what_cannot_be_moved_is_told_before_anybody_comes(machine: Machine) -> None:
    static = "/usr/local/bin/static-server"
    machine.write(static, static_server(), mode=0o755)
    write_program(machine, command=f'["{static}", "5901"]')
    enable(machine)
    machine.run("systemctl", "start", service())
    record = machine.wait_for_record("WEBSOCKIFY_ROUTE=vnc", PORT_NOT_MOVED)
    assert "it is linked statically" in record["MESSAGE"]
    assert 'isolation = "private-network"' in record["MESSAGE"]


def test_program_and_proxy_are_seen_together(machine: Machine) -> None:
    install_server(machine)
    machine.run("useradd", "--create-home", "alice")
    write_program(
        machine,
        'user = "alice"',
        'working-directory = "/home/alice"',
        'environment = { GREETING = "a  $HOME \'b\' %n" }',
        'properties = { LimitNOFILE = "512:1024", Nice = 5, UnsetEnvironment = ["A", "B"] }',
        command='["/bin/sh", "-c", "echo \\"$GREETING|$PWD|$USER|$HOME\\"; exec ' + SERVER + ' 5901"]',
    )
    enable(machine)
    pid = ask(machine)
    assert machine.run("stat", "--format=%U", f"/proc/{pid}").strip() == "alice"
    assert machine.show(program_unit(), "LimitNOFILE", "LimitNOFILESoft", "Nice") == {
        "LimitNOFILE": "1024",
        "LimitNOFILESoft": "512",
        "Nice": "5",
    }
    story = machine.journal("WEBSOCKIFY_ROUTE=vnc")
    messages = [record["MESSAGE"] for record in story]
    assert "a  $HOME 'b' %n|/home/alice|alice|/home/alice" in messages
    assert "serving" in messages
    assert any(message.startswith("listening on") for message in messages)
    status = machine.run("systemctl", "status", program_unit())
    assert f"{SERVER} 5901" in status
    assert "serving" in status
    # A reload cannot start it anew, and says so; a restart does.
    text = machine.read("/etc/websockify/vnc.toml")
    machine.write("/etc/websockify/vnc.toml", text.replace("GREETING", "WELCOME"))
    machine.run("systemctl", "reload", service())
    wait_for_status(machine, "[program] has changed, and no reload can start a program anew")
    assert ask(machine) == pid
    machine.run("systemctl", "restart", service())
    before, pid = pid, ask(machine)
    assert pid != before
    assert servers(machine) == [pid]
    # The manager that made it is read-only to the daemon, as to everybody: it has no right to stop what it relays to.
    daemon = machine.main_pid(service())
    ids = machine.run("stat", "--format=%u %g", f"/proc/{daemon}").split()
    become = ("setpriv", f"--reuid={ids[0]}", f"--regid={ids[1]}", "--clear-groups", "--no-new-privs")
    for action, unit in (("stop", program_unit()), ("start", "systemd-hostnamed"), ("stop", service())):
        refused = machine.attempt(*become, "systemctl", "--no-ask-password", action, unit)
        assert refused.returncode != 0, (action, unit)
    refused = machine.attempt(*become, "systemd-run", "--no-ask-password", "true")
    assert refused.returncode != 0
    assert machine.attempt(*become, "/usr/bin/websockify", "program", "stop", "vnc").returncode != 0
    assert ask(machine) == pid
