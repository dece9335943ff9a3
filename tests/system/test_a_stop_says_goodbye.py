"""Whoever stops the service ends the sessions in order, within a bounded time."""

import pytest
from websockets.exceptions import ConnectionClosed

from .machine import Machine
from .network import ANSWER_SECONDS_MAX, Target, assert_answers
from .route import PORT, enable, service, write_route


def test_stopping_ends_each_session_with_1001(machine: Machine) -> None:
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        with (
            machine.network.websocket(PORT) as one,
            machine.network.websocket(PORT) as other,
        ):
            assert_answers(one, "desktop")
            assert_answers(other, "desktop")
            machine.run("systemctl", "stop", "websockify@vnc.socket", service())
            for session in (one, other):
                with pytest.raises(ConnectionClosed) as closed:
                    session.recv(timeout=ANSWER_SECONDS_MAX)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1001
    state = machine.show(service(), "Result", "ActiveState", "ExecMainStatus")
    assert state == {"Result": "success", "ActiveState": "inactive", "ExecMainStatus": "0"}
    with pytest.raises(ConnectionRefusedError):
        machine.network.connect("127.0.0.1", PORT)
