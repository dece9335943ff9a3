"""The target behind the proxy: a plain TCP server that sends back what it reads."""

import socket
import threading
from typing import Self

READ_BYTES_MAX = 65536


class EchoTarget:
    """Echoes each connection in a thread of its own.

    What was read is sent back before more is read, so a client that does not read is held up by
    TCP itself and nothing piles up here. An end of file is echoed, too.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A shutdown, unlike a close, wakes the thread that waits in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    buffer = memoryview(bytearray(READ_BYTES_MAX))
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while size := connection.recv_into(buffer):
                connection.sendall(buffer[:size])
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            # A peer that resets the connection has ended it; whoever waits for bytes will tell.
            return
