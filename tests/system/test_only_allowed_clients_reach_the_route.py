"""`allow-clients` is kept by the kernel, before a byte reaches the daemon."""

import pytest

from .machine import Machine
from .network import Neighbour, Target, assert_answers
from .route import PORT, enable, service, write_route

SILENCE_SECONDS = 2


def allowing(client: Neighbour) -> tuple[str, str]:
    return "[access]", f'allow-clients = ["{client.address}/32"]'


def test_a_client_outside_is_dropped_by_the_kernel(machine: Machine) -> None:
    with (
        Neighbour(machine.network, 1) as friend,
        Neighbour(machine.network, 2) as stranger,
        Target(machine.network, "desktop") as target,
    ):
        write_route(machine, f"127.0.0.1:{target.port}", *allowing(friend))
        enable(machine)
        # Not refused, which the daemon could do only after it accepted: its packets vanish.
        with pytest.raises(TimeoutError):
            stranger.connect(stranger.machine_address, PORT, SILENCE_SECONDS)
        assert machine.show(service(), "ActiveState") == {"ActiveState": "inactive"}
        with friend.websocket(PORT, friend.machine_address) as session:
            assert_answers(session, "desktop")
            # The daemon says who keeps the list.
            machine.wait_for_unit(service(), lambda unit: "kernel" in unit["StatusText"])


def test_where_the_kernel_does_not_filter_the_daemon_does(machine: Machine) -> None:
    with (
        Neighbour(machine.network, 1) as friend,
        Neighbour(machine.network, 2) as stranger,
        Target(machine.network, "desktop") as target,
    ):
        write_route(machine, f"127.0.0.1:{target.port}", *allowing(friend))
        # As on a machine without control groups or BPF.
        machine.write(
            "/etc/systemd/system/websockify@vnc.socket.d/99-no-filter.conf",
            "[Socket]\nIPAddressAllow=\nIPAddressDeny=\n",
        )
        enable(machine)
        with stranger.connect(stranger.machine_address, PORT) as stream:
            stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
            try:
                answer = stream.recv(4096)
            except ConnectionResetError:
                answer = b""
            assert b"200" not in answer.partition(b"\r\n")[0]
        assert not target.clients
        with friend.websocket(PORT, friend.machine_address) as session:
            assert_answers(session, "desktop")
