"""`systemctl reload` reads the route again; what runs goes on as it began."""

from .machine import Machine
from .network import Target, assert_answers, assert_echoes
from .route import PORT, enable, service, write_route


def test_new_sessions_get_the_new_target_and_old_ones_keep_theirs(machine: Machine) -> None:
    with (
        Target(machine.network, "old") as old,
        Target(machine.network, "new") as new,
    ):
        write_route(machine, f"127.0.0.1:{old.port}")
        enable(machine)
        with machine.network.websocket(PORT) as before:
            assert_answers(before, "old")
            pid = machine.main_pid(service())
            write_route(machine, f"127.0.0.1:{new.port}")
            machine.run("systemctl", "reload", service())
            # On systemd 252 the command is done before the daemon is.
            machine.wait_for_record(
                f"_SYSTEMD_UNIT={service()}", where=lambda record: "reloaded" in record["MESSAGE"]
            )
            with machine.network.websocket(PORT) as after:
                assert_answers(after, "new")
            assert_echoes(before, b"still there")
            assert machine.main_pid(service()) == pid


def test_a_reload_is_over_when_the_command_is_where_systemd_can_wait(machine: Machine) -> None:
    expected = "notify-reload" if machine.systemd_version >= 253 else "notify"
    assert machine.show(service(), "Type") == {"Type": expected}


def test_a_reload_that_fails_keeps_the_old_settings_and_says_so(machine: Machine) -> None:
    with Target(machine.network, "old") as old:
        write_route(machine, f"127.0.0.1:{old.port}")
        enable(machine)
        with machine.network.websocket(PORT) as before:
            assert_answers(before, "old")
            write_route(machine, f"127.0.0.1:{old.port}", "heartbeet = 1")
            # Not a failure of the command: the service is well.
            machine.run("systemctl", "reload", service())
            state = machine.wait_for_unit(service(), lambda unit: "heartbeet" in unit["StatusText"])
            assert "/etc/websockify/vnc.toml:3" in state["StatusText"]
            assert_echoes(before, b"still there")
            with machine.network.websocket(PORT) as after:
                assert_answers(after, "old")
            # The next reload that works takes the complaint away.
            write_route(machine, f"127.0.0.1:{old.port}")
            machine.run("systemctl", "reload", service())
            machine.wait_for_unit(service(), lambda unit: "heartbeet" not in unit["StatusText"])
