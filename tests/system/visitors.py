"""Clients who come one after another, without a pause, for as long as something else goes on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .network import ANSWER_SECONDS_MAX, Network

VISITORS = 4


class Visits:
    """How often they were served, and what went wrong."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self._turns = [threading.Semaphore(0) for _ in range(VISITORS)]

    def await_another_of_each(self) -> None:
        """Waits until each visitor who is not yet served has been, and then the next visit too."""
        for turn in self._turns:
            while turn.acquire(blocking=False):
                pass
            for _ in range(2):
                assert turn.acquire(timeout=ANSWER_SECONDS_MAX), self.failures[:5]

    def visit(self, network: Network, port: int, number: int, over: threading.Event) -> None:
        while not over.is_set():
            try:
                # A session that began is ended by a restart, which is no refusal: what each must
                # get is its turn, so that it connects and asks in one go.
                with network.connect("127.0.0.1", port) as stream:
                    stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    answer = stream.recv(12)
                    assert answer.startswith(b"HTTP/1."), answer
                self._turns[number].release()
            except (OSError, AssertionError) as failure:
                self.failures.append(failure)


@contextmanager
def visitors(network: Network, port: int) -> Iterator[Visits]:
    """Sends them, and fails unless every single one was served."""
    visits = Visits()
    over = threading.Event()
    threads = [
        threading.Thread(target=visits.visit, args=(network, port, number, over))
        for number in range(VISITORS)
    ]
    for thread in threads:
        thread.start()
    try:
        visits.await_another_of_each()
        yield visits
        visits.await_another_of_each()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not visits.failures, visits.failures[:5]
