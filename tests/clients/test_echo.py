"""Every foreign client gets back what it sent, byte for byte, over ws:// and over wss://."""

import re

import pytest

from .conftest import Proxy
from .exchange import Client, Exchange
from .libraries import with_aiohttp, with_websocket_client, with_websockets
from .programs import with_websocat, with_ws
from .stream import Received, content

CLIENTS = {
    "websockets": with_websockets,
    "websocket-client": with_websocket_client,
    "aiohttp": with_aiohttp,
    "ws": with_ws,
    "websocat": with_websocat,
}
each_client = pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())


@each_client
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_64_mib_in_odd_sizes_come_back_byte_for_byte(
    client: Client, scheme: str, proxy: Proxy, stream: bytes
) -> None:
    received = Received(stream)
    chosen = client(Exchange(proxy.url(scheme), proxy.authority, "binary", stream, received))
    received.check()
    assert chosen == "binary"


@each_client
def test_a_client_that_offers_no_subprotocol_gets_none(client: Client, proxy: Proxy) -> None:
    stream = content(1000)
    received = Received(stream)
    chosen = client(Exchange(proxy.url("ws"), proxy.authority, None, stream, received))
    received.check()
    assert chosen is None


@each_client
def test_a_client_checks_the_certificate_of_the_proxy(client: Client, proxy: Proxy) -> None:
    """Else the exchanges over wss:// would not show that the right certificate is served."""
    stream = content(1000)
    received = Received(stream)
    with pytest.raises(Exception, match=re.compile("certificate", re.IGNORECASE)):
        client(Exchange(proxy.url("wss"), proxy.stranger, "binary", stream, received))
    assert received.length == 0
