"""The same route without any rights: `systemctl --user`, also while nobody is logged in."""

from .machine import Machine
from .network import Target, assert_answers
from .route import PORT


def test_a_lingering_user_has_a_route_which_is_back_after_a_boot(machine: Machine) -> None:
    machine.add_lingering_user("jane")
    route = "/home/jane/.config/websockify/vnc.toml"
    machine.write(route, f'listen = "{PORT}"\ntarget = "127.0.0.1:5900"\n')
    machine.run("chown", "-R", "jane:", "/home/jane/.config")
    machine.user("jane", "systemctl", "--user", "enable", "--now", "websockify@vnc.socket")
    for boot in range(2):
        if boot:
            machine.reboot()
        with (
            Target(machine.network, "desktop", port=5900),
            machine.network.websocket(PORT) as session,
        ):
            assert_answers(session, "desktop")
            shown = machine.user(
                "jane", "systemctl", "--user", "show", "--property=MainPID", "websockify@vnc"
            )
            owner = machine.run("stat", "--format=%U", f"/proc/{shown.strip().partition('=')[2]}")
            assert owner.strip() == "jane"
    # The system's own manager has no part in it.
    assert machine.show("websockify@vnc.socket", "ActiveState") == {"ActiveState": "inactive"}
