"""The source's bugs on purpose: each does what it says, and without it nothing of the kind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from kafka_proxy import Numbered, Proxy
from source_fakes import SYMBOLS, Bench, frame, until
from test_source_bad_input import BTC, HostileExchange
from test_source_parts import FakeRegistry

from binance_stream import app
from binance_stream.app import Source, http_application
from binance_stream.backoff import Backoff
from binance_stream.codec import Codec
from binance_stream.feed import FeedError
from binance_stream.health import Health
from binance_stream.settings import Settings
from binance_stream.topic import TopicWriter

TOPIC = "trades"
HELD = range(21, 31)


class Lives:
    """One exchange, one topic behind a proxy, and sources that live one after the other."""

    def __init__(
        self, proxy: Proxy, exchange: HostileExchange, url: str, registry: str, folder: Path
    ) -> None:
        self.proxy, self.exchange = proxy, exchange
        self.settings = Settings.from_environment(
            {
                "EXCHANGE_WS": url.replace("http", "ws") + "/stream",
                "EXCHANGE_REST": url,
                "SYMBOLS": ",".join(SYMBOLS),
                "KAFKA_BOOTSTRAP": proxy.address,
                "TOPIC": TOPIC,
                "SCHEMA_REGISTRY_URLS": registry,
                "SOURCE_STATE": str(folder),
            }
        )

    @asynccontextmanager
    async def one(self, *bugs: str) -> AsyncIterator[Health]:
        health = Health()
        async with aiohttp.ClientSession() as session:
            source = Source(self.settings, session, health, frozenset(bugs))
            running = asyncio.create_task(source.run())
            try:
                # What is said before the source has caught up is fetched, and then repeats.
                await until(lambda: "acknowledged" in (health.trouble() or "acknowledged"))
                yield health
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    def say(self, ids: range) -> None:
        for each in ids:
            self.exchange.trades.newest = max(each, self.exchange.trades.newest)
            self.exchange.say(frame(each).decode())

    async def written(self) -> list[int]:
        codec = Codec(12, SYMBOLS)
        values = await asyncio.to_thread(self.proxy.values, TOPIC)
        return [codec.trade_id(one) or 0 for one in values]


@pytest.fixture
async def lives(tmp_path: Path) -> AsyncIterator[Lives]:
    exchange, registry, application = HostileExchange(), FakeRegistry(), web.Application()
    application.router.add_route("*", "/{path:.*}", registry.serve)
    async with (
        Proxy(TOPIC) as proxy,
        TestServer(exchange.application()) as server,
        TestServer(application) as registries,
    ):
        url = str(server.make_url("/")).rstrip("/")
        yield Lives(proxy, exchange, url, str(registries.make_url("/api")), tmp_path)


@pytest.mark.parametrize(
    "bugs, lost", [((), []), (("source-saves-first",), list(HELD))], ids=["without", "with"]
)
async def test_what_was_saved_before_kafka_had_it_is_never_fetched_again(
    bugs: tuple[str, ...], lost: list[int], lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that dies while Kafka does not answer."""
    monkeypatch.setattr(app, "_DRAIN_SECONDS", 0.0)
    async with lives.one(*bugs) as health:
        lives.say(range(11, 21))
        await until(lambda: health.acknowledged.get(BTC) == 10)
        lives.proxy.hold()
        lives.say(HELD)
        await until(lambda: health.queued() == len(HELD))
    lives.proxy.release()
    async with lives.one(*bugs) as health:
        lives.say(range(31, 33))
        await until(lambda: health.newest_ms != {} and health.queued() == 0)
        await until(lambda: health.acknowledged[BTC] == 12 - len(lost))

    assert [each for each in range(11, 33) if each not in lost] == await lives.written()


def test_ids_that_the_topic_is_beyond_are_not_believed(tmp_path: Path) -> None:
    """Left by a life with the bug long ago."""
    path = tmp_path / "last_ids.json"
    path.write_bytes(orjson.dumps({"AAAUSDT": 5, "BBBUSDT": 9, "CCCUSDT": 1}))

    assert {"AAAUSDT": 7, "BBBUSDT": 9} == app.Saved(path).believed({"AAAUSDT": 7, "BBBUSDT": 8})


@pytest.mark.parametrize("bugs", [(), ("source-not-idempotent",)], ids=["without", "with"])
async def test_a_record_whose_answer_was_lost_is_sent_again_under_its_number_or_without_any(
    bugs: tuple[str, ...],
) -> None:
    """By its number a broker knows that it has the record; without one it is written twice."""
    heard: list[int] = []
    async with Proxy(TOPIC) as proxy:
        writer = TopicWriter(
            proxy.address, TOPIC, lambda _, at: heard.append(at), bugs=frozenset(bugs)
        )
        serving = asyncio.create_task(writer.serve())
        writer.write(BTC, b"one", 1)
        await until(lambda: heard == [1])
        proxy.answers_to_lose = 1
        writer.write(BTC, b"two", 2)
        await until(lambda: heard == [1, 2])
        serving.cancel()
        writer.abandon()
        first, sent, again = proxy.produced

    assert sent == again
    if bugs:
        assert Numbered(-1, -1, -1) == sent
    else:
        assert Numbered(first.producer, first.epoch, first.sequence + 1) == sent


class Deaf:
    """An exchange that refuses every connection."""

    def __init__(self) -> None:
        self.asked = 0

    async def refuse(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(status=503)


@pytest.mark.parametrize("bugs", [(), ("source-gives-up",)], ids=["without", "with"])
async def test_after_five_failures_in_a_row_the_exchange_is_not_asked_any_more(
    bugs: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "Backoff", lambda *_: Backoff(0.001, 0.001))
    deaf, application, bench = Deaf(), web.Application(), Bench(last={BTC: 10})
    application.router.add_get("/{path:.*}", deaf.refuse)
    async with TestServer(application) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("/")).rstrip("/")
        settings = Settings.from_environment(
            {
                "EXCHANGE_WS": url.replace("http", "ws"),
                "EXCHANGE_REST": url,
                "SYMBOLS": ",".join(SYMBOLS),
            }
        )
        bench.exchange.error = FeedError("away")
        source = Source(settings, session, bench.health, frozenset(bugs))
        following = asyncio.create_task(source.follow(bench.relay))
        await until(lambda: bench.health.counts.reconnects >= (5 if bugs else 20))
        for _ in range(50):
            await asyncio.sleep(0.002)
        asked = bench.health.counts.reconnects
        is_alive = not following.done()
        following.cancel()

    assert is_alive
    assert (asked == 5) is bool(bugs)


@pytest.mark.parametrize(
    "bugs, status", [((), 503), (("source-always-healthy",), 200)], ids=["without", "with"]
)
async def test_a_source_that_does_nothing_calls_itself_healthy(
    bugs: tuple[str, ...], status: int
) -> None:
    health = Health()
    health.note_step("exchange: refused")
    application = http_application(health, frozenset(bugs))
    async with TestClient(TestServer(application)) as client:
        answer = await client.get("/health")
        told = await answer.json()

    assert status == answer.status
    assert (status == 200) is (told["status"] == "healthy")
    assert (status == 200) is (told["reason"] is None)
