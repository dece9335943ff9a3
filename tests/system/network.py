"""Sockets in the network namespace of a process: clients, targets, and machines next door."""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Self, TypeVar

from websockets.sync.client import ClientConnection, connect

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
ANSWER_SECONDS_MAX = 30
COMMAND_SECONDS_MAX = 30

_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """The network namespace of a process, seen from outside its other namespaces."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def within(self, make: Callable[[], T]) -> T:
        """Calls `make` in this namespace. A socket stays in the namespace that it was made in."""

        def enter_and_make() -> T:
            namespace = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
            try:
                if _libc.setns(namespace, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "cannot enter the network namespace")
            finally:
                os.close(namespace)
            return make()

        # A namespace is a thread's: this one enters it and ends.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(enter_and_make).result()

    def connect(self, host: str, port: int, timeout: float = ANSWER_SECONDS_MAX) -> socket.socket:
        return self.within(lambda: socket.create_connection((host, port), timeout))

    @contextmanager
    def websocket(
        self, port: int, host: str = "127.0.0.1", path: str = "/", **options: object
    ) -> Iterator[ClientConnection]:
        """A session of an independent client."""
        stream = self.connect(host, port)
        # The library sets its own deadlines.
        stream.settimeout(None)
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        with connect(
            f"ws://{authority}{path}",
            sock=stream,
            compression=None,
            open_timeout=ANSWER_SECONDS_MAX,
            close_timeout=ANSWER_SECONDS_MAX,
            **options,
        ) as session:
            yield session

    def listen(self, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
        return self.within(lambda: socket.create_server((host, port), backlog=1024))

    def run(self, *command: str) -> str:
        """Runs a program of this machine in that network."""
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout


class Neighbour(Network):
    """Another machine's network, on a cable to the machine under test.

    It is a namespace of its own, which a waiting process holds: it and the cable are gone with it.
    """

    def __init__(self, machine: Network, number: int) -> None:
        self.address = f"10.11.{number}.2"
        self.machine_address = f"10.11.{number}.1"
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo there && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"there\n"
        super().__init__(self._holder.pid)
        cable = f"cable{number}"
        self.run(
            *("ip", "link", "add", cable, "type", "veth"),
            *("peer", "name", cable, "netns", str(machine.pid)),
        )
        for end, address in ((self, self.address), (machine, self.machine_address)):
            end.run("ip", "address", "add", f"{address}/24", "dev", cable)
            end.run("ip", "link", "set", "dev", cable, "up")
        self.run("ip", "link", "set", "dev", "lo", "up")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait(COMMAND_SECONDS_MAX)


class Target:
    """A target that says its name to each client, then sends back what it gets."""

    def __init__(self, network: Network, name: str, host: str = "127.0.0.1", port: int = 0) -> None:
        self.name = name.encode()
        self._listener = network.listen(host, port)
        self.port: int = self._listener.getsockname()[1]
        self.clients: list[socket.socket] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # shutdown, not close, wakes a thread that waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for client in self.clients:
            client.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self._echo, args=(client,), daemon=True).start()

    def _echo(self, client: socket.socket) -> None:
        try:
            client.sendall(self.name)
            while chunk := client.recv(65536):
                client.sendall(chunk)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            # The session was ended by its other side; the test sees that there.
            return


def assert_answers(session: ClientConnection, name: str, text: bytes = b"hello") -> None:
    """The session leads to the target of that name, and carries bytes both ways."""
    assert receive(session, len(name)) == name.encode()
    assert_echoes(session, text)


def assert_echoes(session: ClientConnection, text: bytes) -> None:
    session.send(text)
    assert receive(session, len(text)) == text


def receive(session: ClientConnection, size: int) -> bytes:
    """The next bytes: a relay need not keep the borders of messages."""
    received = b""
    while len(received) < size:
        message = session.recv(timeout=ANSWER_SECONDS_MAX)
        assert isinstance(message, bytes)
        received += message
    return received
