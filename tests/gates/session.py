"""A session through the proxy, from both its ends, on blocking sockets."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from clients.program import Program, built

SECONDS_MAX = 60
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = bytes((0x37, 0xFA, 0x21, 0x3D))
BINARY = 0x2
HEAD_BYTES_MAX = 4096


def client_frame(payload: bytes, opcode: int = BINARY) -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    key = int.from_bytes(MASK * (size // 4 + 1), "big") >> 8 * (4 - size % 4)
    masked = int.from_bytes(payload, "big") ^ key
    return head + MASK + masked.to_bytes(size, "big")


def read_exactly(connection: socket.socket, size: int) -> bytes:
    received = bytearray(size)
    view = memoryview(received)
    while view:
        count = connection.recv_into(view)
        assert count, f"the stream ended {len(view)} bytes too early"
        view = view[count:]
    return bytes(received)


def read_frame(connection: socket.socket) -> bytes:
    """The payload of the server's next frame."""
    size = read_exactly(connection, 2)[1]
    if size == 126:
        (size,) = struct.unpack("!H", read_exactly(connection, 2))
    elif size == 127:
        (size,) = struct.unpack("!Q", read_exactly(connection, 8))
    return read_exactly(connection, size)


@dataclass
class Session:
    """Both ends of an open session, and the process between them."""

    client: socket.socket
    target: socket.socket
    process: int


@contextmanager
def session(*options: str, subprotocol: str | None = None) -> Iterator[Session]:
    offer = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS_MAX)
        websockify = built("WEBSOCKIFY", "target/release/websockify")
        goal = f"127.0.0.1:{listener.getsockname()[1]}"
        with Program(websockify, *options, "127.0.0.1:0", goal) as program:
            with socket.create_connection(("127.0.0.1", program.port), SECONDS_MAX) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.sendall(
                    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                    f"Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n"
                    f"Sec-WebSocket-Version: 13\r\n{offer}\r\n".encode()
                )
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += read_exactly(client, 1)
                    assert len(head) < HEAD_BYTES_MAX, head
                assert head.startswith(b"HTTP/1.1 101 "), head
                target, _ = listener.accept()
                with target:
                    target.settimeout(SECONDS_MAX)
                    target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    yield Session(client, target, program.pid)
