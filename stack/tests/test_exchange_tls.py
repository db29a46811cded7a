"""The exchange's feed behind its certificate: settings, raw frames, back-pressure."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from lab_certificates import Authority

from binance_stream.tls import client_context
from exchange.feed import Feed
from exchange.segment import Row
from exchange.settings import BadSettingError, Settings
from exchange.subscribers import MAX_BACKLOG_BYTES, Subscribers
from exchange.tape import Tape
from exchange.tls import server_context

AUTHORITY = Authority()
CERTIFICATE, KEY = AUTHORITY.pair()
STREAM = "/stream?streams=aaausdt@trade"
_MORE_THAN_ANY_BUFFER = 200_000


def test_neither_certificate_nor_key_is_a_feed_without_tls() -> None:
    assert Settings.from_environment({}).tls is None
    pair = {"EXCHANGE_TLS_CERT": CERTIFICATE, "EXCHANGE_TLS_KEY": KEY}
    assert isinstance(Settings.from_environment(pair).tls, ssl.SSLContext)


@pytest.mark.parametrize(
    "certificate, key, reason",
    [
        (CERTIFICATE, "", "give both"),
        ("", KEY, "give both"),
        (CERTIFICATE, AUTHORITY.pair()[1], "no certificate with its key"),
        (CERTIFICATE, "unset", "base64|padding|no certificate with its key"),
        (KEY, KEY, "no certificate with its key"),
    ],
    ids=["no key", "no certificate", "another's key", "no base64", "no certificate in it"],
)
def test_half_a_pair_or_a_wrong_one_is_a_bad_setting(
    certificate: str, key: str, reason: str
) -> None:
    environment = {"EXCHANGE_TLS_CERT": certificate, "EXCHANGE_TLS_KEY": key}
    with pytest.raises(BadSettingError, match=f"EXCHANGE_TLS_CERT and .*({reason})"):
        Settings.from_environment(environment)


class Exchange:
    """A feed behind TLS whose trades are emitted by hand."""

    def __init__(self, state: Path) -> None:
        self.tape = Tape(state, 7, ("AAAUSDT",), 30)
        self.subscribers = Subscribers(7)
        feed = Feed(7, ("AAAUSDT",), self.tape, self.subscribers)
        self.server = TestServer(feed.application())

    def emit(self, trades: int) -> None:
        rows = [Row("AAAUSDT", self.tape.history("AAAUSDT").last_id + 1, trades, 1_000)]
        self.tape.append(rows)
        self.subscribers.publish(rows)


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[Exchange]:
    made = Exchange(tmp_path)
    await made.server.start_server(ssl=server_context(CERTIFICATE, KEY))
    yield made
    await made.server.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=client_context(AUTHORITY.line))
    async with aiohttp.ClientSession(connector=connector) as open_session:
        yield open_session


def url(exchange: Exchange) -> str:
    return f"https://localhost:{exchange.server.port}{STREAM}"


async def test_raw_frames_and_pings_share_the_encrypted_connection(
    exchange: Exchange, session: aiohttp.ClientSession
) -> None:
    async with session.ws_connect(url(exchange), autoping=False) as client:
        pongs, ids = 0, []
        for _ in range(20):
            exchange.emit(50)
            await client.ping()
        while len(ids) < 1_000 or pongs < 20:
            message = await client.receive(timeout=5)
            if message.type is aiohttp.WSMsgType.PONG:
                pongs += 1
            else:
                ids.append(message.json()["data"]["t"])
    assert ids == list(range(1, 1_001))


async def test_a_client_that_does_not_read_is_cut_off_over_tls_too(
    exchange: Exchange, session: aiohttp.ClientSession
) -> None:
    """The kernel's buffers, and what TLS has handed on already, come on top of the limit."""
    reader, writer = await raw_subscriber(exchange)
    emitted = 0
    async with session.ws_connect(url(exchange)) as awake:
        while not exchange.subscribers.cut_off and emitted < _MORE_THAN_ANY_BUFFER:
            exchange.emit(100)
            emitted += 100
            for _ in range(100):
                await awake.receive(timeout=5)
        still_there = not awake.closed
    writer.transport.abort()
    assert exchange.subscribers.cut_off == 1
    assert still_there
    assert emitted * 150 > MAX_BACKLOG_BYTES
    del reader


async def raw_subscriber(exchange: Exchange) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Subscribe and never read: what a stopped client is to the exchange."""
    reader, writer = await asyncio.open_connection(
        "localhost", exchange.server.port, ssl=client_context(AUTHORITY.line), limit=1_024
    )
    writer.write(
        f"GET {STREAM} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer
