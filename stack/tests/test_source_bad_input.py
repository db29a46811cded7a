"""Whatever the exchange sends, over real sockets: defined, counted, nothing lost, no hot loop."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from source_fakes import SYMBOLS, FakeExchange, FakeTopic, frame, until

from binance_stream.app import Source
from binance_stream.codec import Codec
from binance_stream.feed import Feed, FeedError
from binance_stream.health import Health
from binance_stream.relay import Relay
from binance_stream.sequence import Sequence
from binance_stream.settings import Settings

BTC = "AAAUSDT"
Answer = Callable[[], web.Response | None]


class HostileExchange:
    """A server whose stream says what it is told to, and whose history may answer strangely."""

    def __init__(self) -> None:
        self.trades = FakeExchange(newest=10)
        self.to_say: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.answer: Answer = lambda: None
        self.greeting: str | None = None
        self.connections = 0
        self.asked = 0

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/stream", self._stream)
        application.router.add_get("/api/v3/historicalTrades", self._history)
        return application

    def say(self, *messages: str | bytes) -> None:
        for message in messages:
            self.to_say.put_nowait(message)

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        if self.greeting is not None:
            await socket.send_str(self.greeting)
        reading = asyncio.create_task(socket.receive())
        while not socket.closed:
            saying = asyncio.create_task(self.to_say.get())
            await asyncio.wait((reading, saying), return_when=asyncio.FIRST_COMPLETED)
            if not saying.done():
                saying.cancel()
                break
            message = saying.result()
            if isinstance(message, bytes):
                await socket.send_bytes(message)
            else:
                await socket.send_str(message)
        reading.cancel()
        return socket

    async def _history(self, request: web.Request) -> web.Response:
        self.asked += 1
        strange = self.answer()
        if strange is not None:
            return strange
        query = request.query
        page = await self.trades.history(query["symbol"], int(query["fromId"]), int(query["limit"]))
        return web.Response(body=orjson.dumps(page), content_type="application/json")


class Life:
    """A source that follows a hostile exchange, from id 10 of one symbol on."""

    def __init__(
        self, exchange: HostileExchange, server: TestServer, session: aiohttp.ClientSession
    ) -> None:
        url = str(server.make_url("/")).rstrip("/")
        self.exchange = exchange
        self.health, self.topic = Health(), FakeTopic()
        environment = {
            "EXCHANGE_WS": url.replace("http", "ws") + "/stream",
            "EXCHANGE_REST": url,
            "SYMBOLS": ",".join(SYMBOLS),
            "KAFKA_BOOTSTRAP": f"127.0.0.1:{unused_port()}",
        }
        settings = Settings.from_environment(environment)
        feed = Feed(session, settings.stream_url, settings.rest_url)
        sequence = Sequence(SYMBOLS, {BTC: 10})
        relay = Relay(feed, sequence, Codec(1, SYMBOLS), self.topic, self.health)
        source = Source(settings, session, self.health)
        self.following = asyncio.create_task(source.follow(relay))

    async def wrote(self, last: int) -> list[int]:
        """Return all ids written, once *last* was."""
        ids = self.topic.ids[BTC]
        await until(lambda: ids[-1:] == [last] or self.following.done(), 15)
        assert not self.following.done()
        return ids

    def good(self, *ids: int) -> None:
        self.exchange.trades.newest = max(*ids, self.exchange.trades.newest)
        self.exchange.say(*(frame(each).decode() for each in ids))


@asynccontextmanager
async def followed() -> AsyncIterator[Life]:
    exchange = HostileExchange()
    server = TestServer(exchange.application())
    await server.start_server()
    async with aiohttp.ClientSession() as session:
        life = Life(exchange, server, session)
        try:
            # What is said before the source has caught up is fetched, and then repeats.
            await until(lambda: "nothing acknowledged" in (life.health.trouble() or ""))
            yield life
        finally:
            life.following.cancel()
            await asyncio.gather(life.following, return_exceptions=True)
            await server.close()


NO_TRADES: dict[str, str | bytes] = {
    "not JSON": "{",
    "empty": "",
    "a number": "7",
    "a list": '[{"data": 1}]',
    "an answer to a subscription": '{"result":null,"id":1}',
    "data is a list": '{"stream":"x","data":[1,2]}',
    "another event": orjson.dumps({"data": {"e": "kline", "s": BTC}}).decode(),
    "binary": bytes(range(256)),
    "nested without end": '{"data":' + "[" * 100_000,
    "price is a number": frame(11, p=1.5).decode(),
    "price is null": frame(11, p=None).decode(),
    "id is text": frame(11, t="11").decode(),
    "id is true": frame(11, t=True).decode(),
    "id is negative": frame(11, t=-1).decode(),
    "id beyond 64 bits": '{"data":{"e":"trade","s":"AAAUSDT","t":1e400}}',
    "time is negative": frame(11, T=-1).decode(),
    "time is zero": frame(11, T=0).decode(),
    "time beyond the calendar": frame(11, T=2**63 - 1).decode(),
}


@pytest.mark.parametrize("message", NO_TRADES.values(), ids=NO_TRADES.keys())
async def test_a_frame_that_is_no_trade_is_counted_and_costs_neither_a_trade_nor_the_connection(
    message: str | bytes,
) -> None:
    async with followed() as life:
        life.good(11)
        life.exchange.say(message)
        life.good(12, 13)
        assert await life.wrote(13) == [11, 12, 13]
        assert life.health.counts.malformed == 1
        assert life.health.counts.reconnects == 0


@pytest.mark.parametrize(
    "price", ["0", "0.00000000", "-1", "1e400", "NaN", "inf", "", " 1", "\uff11"]
)
async def test_a_price_that_is_none_is_looked_up_in_the_history(price: str) -> None:
    async with followed() as life:
        life.exchange.trades.newest = 11
        life.exchange.say(frame(11, p=price).decode())
        life.good(12)
        assert await life.wrote(12) == [11, 12]
        assert life.health.counts.malformed == 1
        assert (life.health.counts.gap_records, life.health.counts.rejected) == (1, 0)


async def test_ids_that_go_back_repeat_or_are_far_ahead_and_unknown_symbols_are_counted() -> None:
    async with followed() as life:
        life.good(11, 12, 12, 3)
        life.exchange.say(frame(10**15).decode(), frame(1, "ZZZUSDT").decode())
        await until(lambda: life.health.counts.unknown_symbols == 1)
        life.good(13)
        assert await life.wrote(13) == [11, 12, 13]
        counts = life.health.counts
        assert (counts.duplicates, counts.ahead, counts.unknown_symbols) == (2, 1, 1)
        assert counts.reconnects == 0


async def test_a_gap_larger_than_the_exchange_retains_is_counted_as_lost_once() -> None:
    async with followed() as life:
        life.exchange.trades.oldest = 5_000
        life.good(6_500)
        assert await life.wrote(6_500) == list(range(5_000, 6_501))
        assert life.health.counts.gap_lost == 4_989


async def test_event_times_far_from_the_clock_are_passed_on_and_counted() -> None:
    async with followed() as life:
        now = int(time.time() * 1_000)
        life.exchange.trades.newest = 13
        for trade_id, at in ((11, now), (12, 1), (13, now + 10**9)):
            life.exchange.say(frame(trade_id, T=at).decode())
        assert await life.wrote(13) == [11, 12, 13]
        assert life.health.counts.odd_times == 2


async def test_a_frame_of_two_mebibytes_ends_the_connection_and_no_trade_is_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with followed() as life:
        life.good(11)
        await life.wrote(11)
        with caplog.at_level(logging.WARNING):
            life.exchange.say("x" * (2 * 1024 * 1024))
            await until(lambda: life.health.counts.reconnects == 1)
        life.good(12)
        assert await life.wrote(12) == [11, 12]
        assert "Message size" in caplog.text


async def test_an_exchange_whose_every_first_message_is_too_big_is_not_asked_in_a_hot_loop() -> (
    None
):
    async with followed() as life:
        life.exchange.greeting = "x" * (2 * 1024 * 1024)
        life.exchange.say(life.exchange.greeting)
        began = time.monotonic()
        await until(lambda: life.exchange.connections >= 5)
        # Four pauses, each half to all of 0.2, 0.4, 0.8 and 1.6 s.
        assert time.monotonic() - began > 1.5
        life.exchange.trades.newest = 20
        assert await life.wrote(20) == list(range(11, 21))


@pytest.mark.parametrize(
    "status, body, reason",
    [
        (200, "<html>We will be back soon</html>", "JSONDecodeError"),
        (200, '{"not": "a list"}', "not a list"),
        (200, "[" + " " * 5_000_000 + "]", "bytes"),
        (418, "banned", "HTTP 418"),
        (429, "slow down", "HTTP 429"),
        (500, "oops", "HTTP 500"),
    ],
    ids=["HTML", "an object", "without end", "418", "429", "500"],
)
async def test_a_history_that_answers_nonsense_is_asked_again_until_it_does_not(
    status: int, body: str, reason: str
) -> None:
    async with followed() as life:
        life.good(11)
        await life.wrote(11)
        life.exchange.answer = lambda: web.Response(status=status, text=body)
        life.exchange.trades.newest = 13
        life.good(14)
        await until(lambda: life.health.counts.reconnects >= 2)
        assert reason in (life.health.trouble() or "")
        assert life.topic.ids[BTC] == [11]
        life.exchange.answer = lambda: None
        assert await life.wrote(14) == [11, 12, 13, 14]


async def test_an_exchange_that_asks_to_be_left_alone_is_for_as_long_as_it_asks() -> None:
    def ask_to_wait() -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "2"})

    async with followed() as life:
        life.good(11)
        await life.wrote(11)
        life.exchange.answer = ask_to_wait
        asked = life.exchange.asked
        life.exchange.trades.newest = 12
        life.good(13)
        await until(lambda: life.health.counts.reconnects == 1)
        refused = time.monotonic()
        assert "asks to wait 2 s" in (life.health.trouble() or "")
        life.exchange.answer = lambda: None
        assert await life.wrote(13) == [11, 12, 13]
        assert time.monotonic() - refused > 1.8
        assert life.exchange.asked - asked < 6


@pytest.mark.parametrize(
    "text, wait", [("7", 7.0), ("86400", 120.0), ("soon", 0.0), ("-5", 0.0), ("1e9", 0.0)]
)
async def test_how_long_to_wait_is_read_with_care(text: str, wait: float) -> None:
    exchange = HostileExchange()
    exchange.answer = lambda: web.Response(status=418, headers={"Retry-After": text})
    async with TestServer(exchange.application()) as server, aiohttp.ClientSession() as session:
        feed = Feed(session, "ws://unused", str(server.make_url("/")).rstrip("/"))
        with pytest.raises(FeedError) as caught:
            await feed.history(BTC, 1)
    assert caught.value.wait == wait


async def test_a_page_with_holes_that_are_filled_a_moment_later_loses_nothing() -> None:
    async with followed() as life:
        life.exchange.trades.missing_once = {12, 15, 19}
        life.good(20)
        assert await life.wrote(20) == list(range(11, 21))
        assert life.health.counts.gap_lost == 0


async def test_a_history_behind_the_stream_is_not_asked_with_every_trade() -> None:
    async with followed() as life:
        asked = life.exchange.asked
        life.exchange.say(*(frame(each).decode() for each in range(100, 400)))
        await until(lambda: life.health.counts.ahead == 300)
        assert life.exchange.asked - asked <= 3
        life.exchange.trades.newest = 399
        await asyncio.sleep(0.5)
        life.good(400)
        assert await life.wrote(400) == list(range(11, 401))
        assert life.health.counts.gap_lost == 0


async def test_a_flood_of_nonsense_is_counted_in_full_and_logged_in_short(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with followed() as life:
        with caplog.at_level(logging.WARNING):
            life.exchange.say(*["{"] * 500)
            life.good(11)
            await life.wrote(11)
        assert life.health.counts.malformed == 500
        assert len([each for each in caplog.records if "not a trade" in each.message]) == 1
