"""The clients that are Python libraries."""

import asyncio
import select
import ssl
import threading
from collections.abc import Callable
from typing import Any

import aiohttp
import websocket
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from .exchange import EXCHANGE_SECONDS_MAX, Exchange

CLOSE_NORMAL = 1000


def with_websockets(exchange: Exchange) -> str | None:
    return asyncio.run(_with_websockets(exchange))


async def _with_websockets(exchange: Exchange) -> str | None:
    async with (
        asyncio.timeout(EXCHANGE_SECONDS_MAX),
        connect(
            exchange.url,
            ssl=_trust(exchange),
            subprotocols=[Subprotocol(exchange.offer)] if exchange.offer else None,
            max_size=None,
            proxy=None,
        ) as connection,
    ):

        async def send() -> None:
            for message in exchange.messages():
                await connection.send(message)

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            while not exchange.received.complete:
                message = await connection.recv()
                assert isinstance(message, bytes), f"text came back: {message[:125]!r}"
                exchange.received.feed(message)

        await connection.close(CLOSE_NORMAL)
        assert connection.close_code == CLOSE_NORMAL
        return connection.subprotocol


def with_aiohttp(exchange: Exchange) -> str | None:
    return asyncio.run(_with_aiohttp(exchange))


async def _with_aiohttp(exchange: Exchange) -> str | None:
    async with (
        asyncio.timeout(EXCHANGE_SECONDS_MAX),
        aiohttp.ClientSession() as session,
        session.ws_connect(
            exchange.url,
            ssl=_trust(exchange) or True,
            protocols=[exchange.offer] if exchange.offer else [],
            max_msg_size=0,
        ) as connection,
    ):

        async def send() -> None:
            for message in exchange.messages():
                await connection.send_bytes(bytes(message))

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            while not exchange.received.complete:
                exchange.received.feed(await connection.receive_bytes())

        await connection.close(code=CLOSE_NORMAL)
        assert connection.close_code == CLOSE_NORMAL
        return connection.protocol


def with_websocket_client(exchange: Exchange) -> str | None:
    options: dict[str, Any] = {}
    if trust := _trust(exchange):
        trust.sslsocket_class = _SharedTlsSocket
        options["sslopt"] = {"context": trust}
    connection = websocket.create_connection(
        exchange.url,
        timeout=EXCHANGE_SECONDS_MAX,
        subprotocols=[exchange.offer] if exchange.offer else None,
        http_no_proxy=["*"],
        **options,
    )
    if trust:
        assert connection.sock is not None
        connection.sock.setblocking(False)

    def send() -> None:
        try:
            for message in exchange.messages():
                connection.send_binary(bytes(message))
        except (OSError, websocket.WebSocketException) as error:
            failures.append(error)

    failures: list[Exception] = []
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        while not exchange.received.complete:
            opcode, payload = connection.recv_data()
            assert opcode == websocket.ABNF.OPCODE_BINARY, f"opcode {opcode}, {payload[:125]!r}"
            exchange.received.feed(payload)
        sender.join()
        assert not failures, failures

        connection.send_close(CLOSE_NORMAL)
        opcode, payload = connection.recv_data(control_frame=True)
        assert opcode == websocket.ABNF.OPCODE_CLOSE
        assert int.from_bytes(payload[:2], "big") == CLOSE_NORMAL
        return connection.getsubprotocol()
    finally:
        connection.shutdown()


class _SharedTlsSocket(ssl.SSLSocket):
    """A TLS socket that one thread may read while another one writes.

    OpenSSL forbids two threads in one session at a time, and older Pythons do not prevent it. So
    each call holds a lock, and waits outside of it; the socket has to be non-blocking for that.
    """

    turn: threading.Lock

    def __new__(cls, *arguments: Any, **options: Any) -> "_SharedTlsSocket":
        made = super().__new__(cls, *arguments, **options)
        made.turn = threading.Lock()
        return made

    def recv(self, *arguments: Any) -> bytes:
        return self._take_turns(super().recv, *arguments)

    def send(self, *arguments: Any) -> int:
        return self._take_turns(super().send, *arguments)

    def _take_turns(self, operation: Callable[..., Any], *arguments: Any) -> Any:
        while True:
            try:
                with self.turn:
                    return operation(*arguments)
            except ssl.SSLWantReadError:
                readers, writers = [self], []
            except ssl.SSLWantWriteError:
                readers, writers = [], [self]
            if not any(select.select(readers, writers, [], EXCHANGE_SECONDS_MAX)):
                raise TimeoutError(f"nothing moved for {EXCHANGE_SECONDS_MAX} s")


def _trust(exchange: Exchange) -> ssl.SSLContext | None:
    if exchange.url.startswith("ws://"):
        return None
    return ssl.create_default_context(cafile=exchange.authority)
