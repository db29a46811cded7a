"""The exchange from outside: stream, history, control."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from exchange.content import content_of, decimal_text
from exchange.control import Control, stored_rate
from exchange.feed import Feed
from exchange.market import Market
from exchange.segment import Row
from exchange.settings import Settings
from exchange.subscribers import MAX_BACKLOG_BYTES, Subscribers, text_frame
from exchange.tape import Tape

SYMBOLS = ("AAAUSDT", "BBBUSDT")


class Exchange:
    """The parts of an exchange whose market is moved by hand."""

    def __init__(self, state: Path) -> None:
        self.tape = Tape(state, 7, SYMBOLS, 30)
        self.subscribers = Subscribers(7)
        self.market = Market(SYMBOLS, self.tape, 100.0, self.subscribers.publish)
        self.feed = Feed(7, SYMBOLS, self.tape, self.subscribers)
        settings = Settings.from_environment({"EXCHANGE_STATE": str(state)})
        self.control = Control(settings, self.tape, self.market, self.subscribers)

    def emit(self, symbol: str, trades: int, at_ms: int) -> None:
        rows = [Row(symbol, self.tape.history(symbol).last_id + 1, trades, at_ms)]
        self.tape.append(rows)
        self.subscribers.publish(rows)


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    return Exchange(tmp_path)


@pytest.fixture
async def feed(exchange: Exchange) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(exchange.feed.application())) as client:
        yield client


@pytest.fixture
async def control(exchange: Exchange) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(exchange.control.application())) as client:
        yield client


async def test_the_stream_carries_every_trade_as_binance_writes_it(
    exchange: Exchange, feed: TestClient[Any, Any]
) -> None:
    async with feed.ws_connect("/stream?streams=aaausdt@trade/zzzusdt@trade") as client:
        exchange.emit("BBBUSDT", 1, 999)
        exchange.emit("AAAUSDT", 2, 1_000)
        messages = [await client.receive_json() for _ in range(2)]
    content = content_of(7, "AAAUSDT", 1)
    assert messages[0] == {
        "stream": "aaausdt@trade",
        "data": {
            "e": "trade",
            "E": 1_000,
            "s": "AAAUSDT",
            "t": 1,
            "p": decimal_text(content.price),
            "q": decimal_text(content.quantity),
            "T": 1_000,
            "m": content.buyer_is_maker,
            "M": True,
        },
    }
    assert messages[1]["data"]["t"] == 2


async def test_pings_are_answered_between_trades(
    exchange: Exchange, feed: TestClient[Any, Any]
) -> None:
    async with feed.ws_connect("/stream?streams=aaausdt@trade", autoping=False) as client:
        exchange.emit("AAAUSDT", 1, 1_000)
        await client.ping(b"there?")
        kinds = {(await client.receive()).type for _ in range(2)}
    assert kinds == {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PONG}


async def test_who_hung_up_is_forgotten(exchange: Exchange, feed: TestClient[Any, Any]) -> None:
    async with feed.ws_connect("/stream?streams=aaausdt@trade"):
        assert len(exchange.subscribers) == 1
    await asyncio.sleep(0.05)
    assert len(exchange.subscribers) == 0
    exchange.emit("AAAUSDT", 1, 1_000)


async def test_a_client_that_does_not_read_is_cut_off_and_the_others_are_not(
    exchange: Exchange, feed: TestClient[Any, Any]
) -> None:
    url = "/stream?streams=aaausdt@trade"
    async with feed.ws_connect(url) as deaf, feed.ws_connect(url) as awake:
        for tick in range(1, 20_000):
            exchange.emit("AAAUSDT", 50, tick)
            for _ in range(50):
                await awake.receive()
            if exchange.subscribers.cut_off:
                break
        assert exchange.subscribers.cut_off == 1
        assert not awake.closed
        assert deaf is not awake
    assert MAX_BACKLOG_BYTES < 64 * 1024 * 1024


@pytest.mark.parametrize("streams", ["", "?streams=", "?streams=zzzusdt@trade", "?streams=aaausdt"])
async def test_a_subscription_to_nothing_is_refused(
    feed: TestClient[Any, Any], streams: str
) -> None:
    response = await feed.get(f"/stream{streams}")
    assert response.status == 400
    assert (await response.json())["code"] == -1130


@pytest.mark.parametrize("length", [1, 125, 126, 300, 65_535])
def test_frames_are_wellformed_at_any_length(length: int) -> None:
    frame = text_frame(b"x" * length)
    assert frame[0] == 0x81
    assert frame[-length:] == b"x" * length
    assert len(frame) == length + (2 if length <= 125 else 4)


async def history(feed: TestClient[Any, Any], **query: object) -> list[dict[str, Any]]:
    params = {name: str(value) for name, value in query.items()}
    response = await feed.get("/api/v3/historicalTrades", params=params)
    assert response.status == 200
    page: list[dict[str, Any]] = await response.json()
    return page


async def test_the_history_is_paged_by_id(exchange: Exchange, feed: TestClient[Any, Any]) -> None:
    for tick in range(30):
        exchange.emit("AAAUSDT", 50, 1_000 + tick)
    page = await history(feed, symbol="AAAUSDT", fromId=75, limit=1_000)
    assert [each["id"] for each in page] == list(range(75, 1_075))
    assert (page[0]["time"], page[-1]["time"]) == (1_001, 1_021)
    content = content_of(7, "AAAUSDT", 75)
    assert page[0]["price"] == decimal_text(content.price)
    assert page[0]["isBuyerMaker"] is content.buyer_is_maker
    assert set(page[0]) == {"id", "price", "qty", "quoteQty", "time", "isBuyerMaker", "isBestMatch"}


async def test_without_an_id_the_history_gives_the_newest(
    exchange: Exchange, feed: TestClient[Any, Any]
) -> None:
    exchange.emit("AAAUSDT", 700, 1_000)
    assert [each["id"] for each in await history(feed, symbol="AAAUSDT")] == list(range(201, 701))
    assert [each["id"] for each in await history(feed, symbol="AAAUSDT", limit=2)] == [699, 700]


async def test_beyond_either_end_of_the_history(
    exchange: Exchange, feed: TestClient[Any, Any]
) -> None:
    for second in range(100):
        exchange.emit("AAAUSDT", 1, second * 1_000)
        exchange.tape.turn(second * 1_000)
    oldest = exchange.tape.history("AAAUSDT").retained_from_id
    assert oldest > 1
    assert (await history(feed, symbol="AAAUSDT", fromId=1, limit=1))[0]["id"] == oldest
    assert await history(feed, symbol="AAAUSDT", fromId=101) == []
    assert await history(feed, symbol="AAAUSDT", fromId=10**30) == []
    assert await history(feed, symbol="BBBUSDT") == []


@pytest.mark.parametrize(
    "query, code",
    [
        ({}, -1102),
        ({"symbol": "ZZZUSDT"}, -1121),
        ({"symbol": "aaausdt"}, -1121),
        ({"symbol": "AAAUSDT", "limit": "0"}, -1130),
        ({"symbol": "AAAUSDT", "limit": "1001"}, -1130),
        ({"symbol": "AAAUSDT", "limit": "1e3"}, -1130),
        ({"symbol": "AAAUSDT", "fromId": "-1"}, -1130),
        ({"symbol": "AAAUSDT", "fromId": "x"}, -1130),
    ],
)
async def test_a_bad_question_to_the_history_is_refused_with_binances_code(
    feed: TestClient[Any, Any], query: dict[str, str], code: int
) -> None:
    response = await feed.get("/api/v3/historicalTrades", params=query)
    assert response.status == 400
    answer = await response.json()
    assert answer["code"] == code
    assert answer["msg"]


async def test_ping(feed: TestClient[Any, Any]) -> None:
    assert await (await feed.get("/api/v3/ping")).json() == {}


async def test_the_ledger_says_what_was_emitted_and_what_can_still_be_asked_for(
    exchange: Exchange, control: TestClient[Any, Any]
) -> None:
    exchange.emit("AAAUSDT", 3, 1_000)
    exchange.emit("AAAUSDT", 2, 2_000)
    ledger = await (await control.get("/ledger")).json()
    assert (ledger["schema"], ledger["seed"]) == (1, 7)
    assert ledger["symbols"] == {
        "AAAUSDT": {
            "first_id": 1,
            "last_id": 5,
            "last_time_ms": 2_000,
            "retained_from_id": 1,
            "retained_from_time_ms": 1_000,
        },
        "BBBUSDT": {
            "first_id": 1,
            "last_id": 0,
            "last_time_ms": None,
            "retained_from_id": 1,
            "retained_from_time_ms": None,
        },
    }
    then = await (await control.get("/ledger?at_ms=1999")).json()
    assert then["symbols"]["AAAUSDT"]["last_id"] == 3
    assert then["symbols"]["AAAUSDT"]["last_time_ms"] == 1_000


async def test_the_ledger_does_not_guess_about_what_it_has_forgotten(
    exchange: Exchange, control: TestClient[Any, Any]
) -> None:
    for second in range(100):
        exchange.emit("AAAUSDT", 1, second * 1_000)
        exchange.tape.turn(second * 1_000)
    response = await control.get("/ledger?at_ms=5000")
    assert response.status == 410
    assert "reach back" in (await response.json())["reason"]
    assert (await control.get("/ledger?at_ms=soon")).status == 400


async def test_the_rate_is_changed_live_and_survives_a_restart(
    exchange: Exchange, control: TestClient[Any, Any], tmp_path: Path
) -> None:
    response = await control.put("/rate", json={"trades_per_second": 250.5})
    assert await response.json() == {"trades_per_second": 250.5}
    assert await (await control.get("/rate")).json() == {"trades_per_second": 250.5}
    assert exchange.market.rate == stored_rate(tmp_path, 100.0) == 250.5
    (tmp_path / "rate.json").write_text("rubbish")
    assert stored_rate(tmp_path, 100.0) == 100.0


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "100",
        "{}",
        '{"trades_per_second": "100"}',
        '{"trades_per_second": true}',
        '{"trades_per_second": NaN}',
        '{"trades_per_second": 1e999}',
        '{"trades_per_second": -0.1}',
        '{"trades_per_second": 5000.1}',
        '{"trades_per_second": 9999999999999999999999}',
    ],
)
async def test_a_bad_rate_is_refused_with_a_reason_and_changes_nothing(
    exchange: Exchange, control: TestClient[Any, Any], body: str
) -> None:
    response = await control.put("/rate", data=body)
    assert response.status == 400
    assert (await response.json())["reason"]
    assert exchange.market.rate == 100.0


async def test_an_exact_number_of_trades_is_emitted_on_demand(
    exchange: Exchange, control: TestClient[Any, Any]
) -> None:
    answer = await control.post("/trades", json={"count": 5, "symbols": ["BBBUSDT", "AAAUSDT"]})
    again = await control.post("/trades", json={"count": 1})
    ledger = await (await control.get("/ledger")).json()

    assert {
        "count": 5,
        "symbols": {
            "BBBUSDT": {"first_id": 1, "last_id": 3},
            "AAAUSDT": {"first_id": 1, "last_id": 2},
        },
    } == await answer.json()
    assert {"AAAUSDT": {"first_id": 3, "last_id": 3}} == (await again.json())["symbols"]
    assert [3, 3] == [ledger["symbols"][one]["last_id"] for one in SYMBOLS]
    assert 6 == exchange.market.emitted


@pytest.mark.parametrize(
    "order, why",
    [
        ({"count": 0}, "whole number within"),
        ({"count": True}, "whole number within"),
        ({"count": 10_001}, "whole number within"),
        ({"count": 1, "symbols": []}, "some of AAAUSDT"),
        ({"count": 1, "symbols": ["CCCUSDT"]}, "some of AAAUSDT"),
        ({"count": 1, "symbols": "AAAUSDT"}, "some of AAAUSDT"),
        ({"count": 1, "symbol": "AAAUSDT"}, "expected"),
        ([1], "expected"),
    ],
)
async def test_an_order_that_makes_no_sense_emits_nothing(
    order: object, why: str, exchange: Exchange, control: TestClient[Any, Any]
) -> None:
    answer = await control.post("/trades", json=order)

    assert 400 == answer.status
    assert why in (await answer.json())["reason"]
    assert 0 == exchange.market.emitted
