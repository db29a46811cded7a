"""Whom the source believes to be the exchange, over real sockets."""

import asyncio
import base64
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer, unused_port
from lab_certificates import Authority
from source_fakes import SYMBOLS, Bench, until

from binance_stream import app
from binance_stream.feed import Feed, FeedError
from binance_stream.settings import BadSettingError, Settings
from binance_stream.tls import client_context
from exchange.feed import Feed as ExchangeFeed
from exchange.segment import Row
from exchange.subscribers import Subscribers
from exchange.tape import Tape
from exchange.tls import server_context

SYMBOL = "BTCUSDT"
OURS, OTHERS = Authority(), Authority()


class Exchange:
    """The feed of an exchange behind a certificate."""

    def __init__(self, server: TestServer, subscribers: Subscribers, tape: Tape) -> None:
        self.server = server
        self.subscribers = subscribers
        self.tape = tape

    def emit(self, trades: int) -> None:
        rows = [Row(SYMBOL, self.tape.history(SYMBOL).last_id + 1, trades, 1_000)]
        self.tape.append(rows)
        self.subscribers.publish(rows)


@asynccontextmanager
async def exchange_behind(pair: tuple[str, str], state: Path) -> AsyncIterator[Exchange]:
    tape, subscribers = Tape(state, 7, (SYMBOL,), 30), Subscribers(7)
    server = TestServer(ExchangeFeed(7, (SYMBOL,), tape, subscribers).application())
    await server.start_server(ssl=server_context(*pair))
    try:
        yield Exchange(server, subscribers, tape)
    finally:
        await server.close()
        tape.close()


@asynccontextmanager
async def source_of(exchange: Exchange, ca: str, host: str = "localhost") -> AsyncIterator[Feed]:
    place = f"{host}:{exchange.server.port}"
    async with aiohttp.ClientSession() as session:
        yield Feed(session, f"wss://{place}/stream", f"https://{place}", client_context(ca))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_both_doors_open_to_who_knows_the_labs_authority(tmp_path: Path, host: str) -> None:
    async with (
        exchange_behind(OURS.pair(), tmp_path) as exchange,
        source_of(exchange, OURS.line, host) as feed,
        feed.stream((SYMBOL,)) as stream,
    ):
        exchange.emit(2)
        assert b'"t":1' in str(await stream.next_message()).encode()
        assert len(await feed.history(SYMBOL, 1)) == 2


@pytest.mark.parametrize(
    "pair, believed, reason",
    [
        (OTHERS.pair(), OURS.line, "unable to get local issuer|self.signed"),
        (OURS.pair(), "", "unable to get local issuer|self.signed"),
        (OURS.pair("elsewhere"), OURS.line, "Hostname mismatch"),
        (OURS.pair(days=-1), OURS.line, "expired"),
    ],
    ids=["another authority", "the system's authorities", "another name", "expired"],
)
async def test_a_certificate_that_does_not_verify_is_refused_with_the_reason_at_both_doors(
    tmp_path: Path, pair: tuple[str, str], believed: str, reason: str
) -> None:
    async with (
        exchange_behind(pair, tmp_path) as exchange,
        source_of(exchange, believed) as feed,
    ):
        exchange.emit(1)
        expected = f"does not verify: .*({reason})"
        with pytest.raises(FeedError, match=expected):
            await feed.history(SYMBOL, 1)
        with pytest.raises(FeedError, match=expected):
            async with feed.stream((SYMBOL,)):
                pass


async def test_an_exchange_that_knows_no_tls_1_2_is_not_spoken_to(tmp_path: Path) -> None:
    context = client_context(OURS.line)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1
    assert server_context(*OURS.pair()).minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("value", ["unset", "%", base64.b64encode(b"no PEM").decode()])
def test_an_authority_that_is_none_is_a_bad_setting(value: str) -> None:
    with pytest.raises(BadSettingError, match="EXCHANGE_CA"):
        Settings.from_environment({"EXCHANGE_CA": value})


async def test_health_says_that_the_certificate_does_not_verify_and_the_source_tries_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with exchange_behind(OTHERS.pair(), tmp_path) as exchange:
        place = f"localhost:{exchange.server.port}"
        settings = Settings.from_environment(
            {
                "EXCHANGE_WS": f"wss://{place}/stream",
                "EXCHANGE_REST": f"https://{place}",
                "EXCHANGE_CA": OURS.line,
                "SYMBOLS": ",".join(SYMBOLS),
                "KAFKA_BOOTSTRAP": f"127.0.0.1:{unused_port()}",
            }
        )
        bench = Bench(last={"AAAUSDT": 1})
        async with aiohttp.ClientSession() as session:
            source = app.Source(settings, session, bench.health)
            with caplog.at_level(logging.WARNING):
                following = asyncio.create_task(source.follow(bench.relay))
                await until(lambda: bench.health.counts.reconnects >= 3)
            following.cancel()
        assert "does not verify" in (bench.health.trouble() or "")
        assert len([each for each in caplog.records if "does not verify" in each.message]) == 1
