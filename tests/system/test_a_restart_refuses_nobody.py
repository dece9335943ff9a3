"""While the service restarts, its sockets stay with systemd: clients wait, and none fails."""

import threading

from .machine import Machine
from .network import ANSWER_SECONDS_MAX, Target, assert_answers
from .route import PORT, enable, service, write_route

# The unit allows 15 starts in ten seconds; with the five of systemd's default, this many would leave
# a dead service and a dead socket.
RESTARTS = 10
CLIENTS = 4


def test_of_a_stream_of_new_sessions_none_fails_while_the_service_restarts(
    machine: Machine,
) -> None:
    with Target(machine.network, "desktop") as target:
        write_route(machine, f"127.0.0.1:{target.port}")
        enable(machine)
        over = threading.Event()
        failures: list[Exception] = []
        turns = [threading.Semaphore(0) for _ in range(CLIENTS)]

        def connect_again_and_again(number: int) -> None:
            while not over.is_set():
                try:
                    # A session that began is ended by the restart, which is no refusal: what each
                    # client must get is its turn, so that it connects and asks in one go.
                    with machine.network.connect("127.0.0.1", PORT) as stream:
                        stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
                        answer = stream.recv(12)
                        assert answer.startswith(b"HTTP/1."), answer
                    turns[number].release()
                except (OSError, AssertionError) as failure:
                    failures.append(failure)

        clients = [
            threading.Thread(target=connect_again_and_again, args=(number,))
            for number in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        try:
            pids = set()
            for _ in range(RESTARTS):
                machine.run("systemctl", "restart", service())
                pids.add(machine.main_pid(service()))
                # Each client is served anew before the next restart.
                for turn in turns:
                    while turn.acquire(blocking=False):
                        pass
                    assert turn.acquire(timeout=ANSWER_SECONDS_MAX), failures[:5]
        finally:
            over.set()
            for client in clients:
                client.join()
        assert not failures, failures[:5]
        # It did restart, each time.
        assert len(pids) == RESTARTS
        with machine.network.websocket(PORT) as session:
            assert_answers(session, "desktop")
