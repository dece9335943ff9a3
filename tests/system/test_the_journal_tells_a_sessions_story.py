"""One query by a session's id shows all of it, in fields that programs can read."""

import pytest
from websockets.exceptions import ConnectionClosed

from .machine import Machine
from .network import ANSWER_SECONDS_MAX, Target, assert_answers
from .route import PORT, enable, service, write_route


def test_a_session_is_two_records_with_the_same_id(machine: Machine) -> None:
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop", b"hello")
        end = machine.wait_for_record(
            f"_SYSTEMD_UNIT={service()}", where=lambda record: "WEBSOCKIFY_CLOSE_CODE" in record
        )
        story = machine.journal(f"WEBSOCKIFY_SESSION={end['WEBSOCKIFY_SESSION']}")
        begin, *_ = story
        assert len(story) == 2
        assert begin["MESSAGE_ID"] != end["MESSAGE_ID"]
        for record in story:
            assert record["WEBSOCKIFY_ROUTE"] == "vnc"
            assert record["WEBSOCKIFY_CLIENT"] == "127.0.0.1"
            assert record["WEBSOCKIFY_CLIENT_PORT"].isdigit()
            assert record["WEBSOCKIFY_TARGET"] == f"127.0.0.1:{target.port}"
            assert record["SYSLOG_IDENTIFIER"] == "websockify"
            assert record["PRIORITY"] == "6"
            assert record["_SYSTEMD_UNIT"] == service()
        assert end["WEBSOCKIFY_CLOSED_BY"] == "client"
        assert end["WEBSOCKIFY_CLOSE_CODE"] == "1000"
        assert end["WEBSOCKIFY_BYTES_IN"] == str(len(b"hello"))
        assert end["WEBSOCKIFY_BYTES_OUT"] == str(len(b"desktop" + b"hello"))
        assert 0 < int(end["WEBSOCKIFY_DURATION_USEC"]) < ANSWER_SECONDS_MAX * 1_000_000


def test_who_closed_a_session_is_told(machine: Machine) -> None:
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
            for client in target.clients:
                client.shutdown(2)
            with pytest.raises(ConnectionClosed):
                session.recv(timeout=ANSWER_SECONDS_MAX)
        machine.wait_for_record("WEBSOCKIFY_CLOSED_BY=target")


def test_what_goes_wrong_is_explained(machine: Machine) -> None:
    # Nothing listens there.
    write_route(machine, "127.0.0.1:5900")
    enable(machine)
    with machine.network.websocket(PORT, origin="http://desk.example") as session:
        with pytest.raises(ConnectionClosed):
            session.recv(timeout=ANSWER_SECONDS_MAX)
    record = machine.wait_for_record(
        f"_SYSTEMD_UNIT={service()}", where=lambda record: int(record["PRIORITY"]) <= 4
    )
    explanation = machine.explanation(record)
    assert "127.0.0.1:5900" in explanation
    assert "@" not in explanation, "a field is missing"
