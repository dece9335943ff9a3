"""What root runs is decided by files of root alone."""

from collections.abc import Callable

from .machine import Machine
from .programs import ask, install_server, kill, program_unit, servers, wait_for_status, write_program
from .route import PORT, enable, service

ROUTE = "/etc/websockify/vnc.toml"


def test_a_file_that_others_could_have_written_starts_nothing(machine: Machine) -> None:
    install_server(machine)
    machine.run("useradd", "mallory")
    write_program(machine)
    enable(machine)
    pid = ask(machine)
    machine.run("systemctl", "stop", service())

    def run(*command: str) -> Callable[[], object]:
        return lambda: machine.run(*command)

    cases: list[tuple[Callable[[], object], Callable[[], object], str]] = [
        (
            run("chown", "mallory", ROUTE),
            run("chown", "root", ROUTE),
            "owns it, and could have any program run as any user; chown 0",
        ),
        (run("chmod", "0664", ROUTE), run("chmod", "0644", ROUTE), "chmod go-w /etc/websockify/vnc.toml"),
        (
            run("chmod", "0777", "/etc/websockify"),
            run("chmod", "0755", "/etc/websockify"),
            "chmod go-w /etc/websockify",
        ),
        (
            run("sh", "-c", f"mv {ROUTE} /root/vnc.toml && ln -s /root/vnc.toml {ROUTE}"),
            run("mv", "/root/vnc.toml", ROUTE),
            "is a symbolic link",
        ),
    ]
    for spoil, mend, words in cases:
        spoil()
        with machine.network.connect("127.0.0.1", PORT):
            status = wait_for_status(machine, "the program is not started: ")
        assert words in status
        assert servers(machine) == []
        refused = machine.attempt("websockify", "program", "start", "vnc")
        assert refused.returncode == 78, refused
        assert words in refused.stderr
        mend()
        machine.run("systemctl", "stop", service())
    for name in ("../vnc", "a/b", "-v", "v*"):
        refused = machine.attempt("websockify", "program", "start", "--", name)
        assert refused.returncode == 78, refused
        assert "is not the name of a route" in refused.stderr
    assert machine.show(program_unit(), "ActiveState") == {"ActiveState": "inactive"}
    assert ask(machine) not in (0, pid)


def test_a_user_runs_a_program_of_their_own(machine: Machine) -> None:
    install_server(machine)
    machine.add_lingering_user("jane")
    write_program(machine, 'on-exit = "respawn"')
    machine.run("mkdir", "--parents", "/home/jane/.config/websockify")
    machine.run("mv", ROUTE, "/home/jane/.config/websockify/vnc.toml")
    machine.run("chown", "-R", "jane:", "/home/jane/.config")
    machine.user("jane", "systemctl", "--user", "enable", "--now", "websockify@vnc.socket")
    pid = ask(machine)
    assert machine.run("stat", "--format=%U", f"/proc/{pid}").strip() == "jane"
    shown = machine.user("jane", "systemctl", "--user", "status", program_unit(), service())
    assert "server runs" in shown
    assert str(pid) in shown
    kill(machine, pid)
    assert ask(machine) != pid
    machine.user("jane", "systemctl", "--user", "stop", service())
    assert servers(machine) == []
