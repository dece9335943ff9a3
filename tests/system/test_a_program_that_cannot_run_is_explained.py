"""A program that does not run leaves a route that says why, in one sentence, and nothing else behind."""

from .machine import Machine
from .programs import (
    SERVER,
    ask,
    install_server,
    processes,
    program_unit,
    servers,
    wait_for_status,
    wait_until_gone,
    write_program,
)
from .route import PORT, enable, service

UNIT_FAILED = "MESSAGE_ID=5b8998b4941a437e99d528455f11745b"

# What is wrong with the program, and what is said of it.
MISTAKES = {
    "missing": (['command = ["/nonexistent"]'], "Failed to find executable /nonexistent"),
    "not executable": (['command = ["/etc/hostname"]'], "cannot"),
    "wrong user": (['user = "nobody-there"'], "there is no such user"),
    "no directory": (['working-directory = "/nonexistent"'], "working-directory /nonexistent cannot be entered"),
    "no property": (["properties = { MemoryMaximum = 1 }"], "MemoryMaximum"),
}


def test_each_mistake_is_one_sentence_and_mended_by_a_restart(machine: Machine) -> None:
    install_server(machine)
    for number, (name, (lines, words)) in enumerate(MISTAKES.items()):
        command = next((line.partition(" = ")[2] for line in lines if "command" in line), None)
        rest = [line for line in lines if "command" not in line]
        route = f"vnc{number}"
        listen = PORT + number
        write_program(
            machine, 'on-exit = "respawn"', *rest, command=command, listen=listen, name=route
        )
        enable(machine, route)
        with machine.network.connect("127.0.0.1", listen):
            status = wait_for_status(machine, "the program is not started: ", route)
        assert words in status, (name, status)
        assert "\n" not in status
        record = machine.wait_for_record(f"WEBSOCKIFY_ROUTE={route}", UNIT_FAILED)
        assert words in record["MESSAGE"], (name, record["MESSAGE"])
        assert "systemctl restart websockify@" in machine.explanation(record)
        assert processes(machine, program_unit(route)) == []
        assert machine.show(program_unit(route), "ActiveState") == {"ActiveState": "inactive"}
        # Mended, it takes no more than a restart.
        write_program(machine, listen=listen, name=route)
        machine.run("systemctl", "restart", service(route))
        assert processes(machine, program_unit(route)) == [ask(machine, listen)], name
        machine.run("systemctl", "stop", service(route))
    assert servers(machine) == []


def test_a_program_that_needs_too_much_memory_is_told(machine: Machine) -> None:
    # These machines have no memory controller, so that MemoryMax= is without effect: this is the kernel's own limit.
    install_server(machine)
    write_program(machine, 'on-exit = "ignore"', 'properties = { LimitAS = "512M", LimitCORE = 0 }')
    enable(machine)
    ask(machine, word=b"allocate 2000000000")
    status = wait_for_status(machine, "server was killed by SIGABRT")
    assert "runs" not in status
    wait_until_gone(machine, program_unit())
    assert servers(machine) == []
    record = machine.wait_for_record("WEBSOCKIFY_ROUTE=vnc", where=lambda record: "SIGABRT" in record["MESSAGE"])
    assert record["MESSAGE"].startswith("server was killed by SIGABRT")


def test_a_program_that_ends_at_once_is_started_at_the_originals_pace(machine: Machine) -> None:
    write_program(machine, 'on-exit = "respawn"', command='["/bin/echo", "started"]')
    enable(machine)
    machine.run("systemctl", "start", service())
    starts: list[int] = []

    def fourth(record: dict[str, object]) -> bool:
        if record["MESSAGE"] == "started":
            starts.append(int(str(record["__MONOTONIC_TIMESTAMP"])))
        return len(starts) == 4

    machine.wait_for_record("WEBSOCKIFY_ROUTE=vnc", where=fourth, timeout=60)
    seconds = [(start - starts[0]) / 1_000_000 for start in starts]
    # The original's: 0, 1, 2, 11. A loaded machine is late, and never early.
    assert seconds[1] >= 0.9, seconds
    assert seconds[3] >= 10.5, seconds
    assert seconds[2] < seconds[3] - 5, seconds
    machine.run("systemctl", "stop", service())
    assert machine.show(program_unit(), "ActiveState") == {"ActiveState": "inactive"}
