"""The exchange misbehaves as ordered, says what it did, and behaves again by itself."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from aiohttp.test_utils import TestClient, TestServer

from exchange.control import Control
from exchange.faults import Faults
from exchange.feed import Feed
from exchange.market import Market
from exchange.segment import Row
from exchange.settings import Settings
from exchange.subscribers import Subscribers
from exchange.tape import Tape

SYMBOLS = ("AAAUSDT", "BBBUSDT")
URL = "/stream?streams=aaausdt@trade"


class Exchange:
    """An exchange whose market is moved by hand, and both its doors."""

    def __init__(self, state: Path) -> None:
        self.faults = Faults()
        self.tape = Tape(state, 7, SYMBOLS, 30)
        self.subscribers = Subscribers(7, self.faults)
        self.market = Market(SYMBOLS, self.tape, 100.0, self.subscribers.publish)
        feed = Feed(7, SYMBOLS, self.tape, self.subscribers, self.faults)
        settings = Settings.from_environment({"EXCHANGE_STATE": str(state)})
        desk = Control(settings, self.tape, self.market, self.subscribers, faults=self.faults)
        self.feed: TestClient[Any, Any] = TestClient(TestServer(feed.application()))
        self.desk: TestClient[Any, Any] = TestClient(TestServer(desk.application()))

    def emit(self, count: int = 1, symbol: str = "AAAUSDT") -> None:
        rows = [Row(symbol, self.tape.history(symbol).last_id + 1, count, 1_000)]
        self.tape.append(rows)
        self.subscribers.publish(rows)

    async def place(self, tag: str, kind: str, seconds: float = 60, **amount: float) -> Any:
        until_ms = int((time.time() + seconds) * 1000)
        order = {"kind": kind, "until_ms": until_ms, **amount}
        answer = await self.desk.put(f"/faults/{tag}", json=order)
        assert answer.status == 200, await answer.text()
        return await answer.json()

    async def take_back(self, tag: str) -> Any:
        answer = await self.desk.delete(f"/faults/{tag}")
        assert answer.status == 200
        return await answer.json()

    async def report(self) -> Any:
        return await (await self.desk.get("/faults")).json()


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[Exchange]:
    one = Exchange(tmp_path)
    async with one.feed, one.desk:
        yield one


async def received(socket: aiohttp.ClientWebSocketResponse) -> list[Any]:
    """What has arrived: ids of trades, and text where it is no trade."""
    out: list[Any] = []
    while True:
        try:
            message = await socket.receive(timeout=0.1)
        except TimeoutError:
            return out
        if message.type is not WSMsgType.TEXT:
            return [*out, "closed"]
        try:
            data = json.loads(message.data)["data"]
            is_trade = isinstance(data["p"], str) and data["t"] > 0
        except (ValueError, TypeError, KeyError):
            is_trade = False
        out.append(data["t"] if is_trade else message.data)


async def test_a_stalled_stream_stays_open_and_what_was_traded_is_lost_to_it(
    exchange: Exchange,
) -> None:
    async with exchange.feed.ws_connect(URL) as socket:
        await exchange.place("t1", "stall")
        exchange.emit(3)
        exchange.emit(5, "BBBUSDT")
        during = await received(socket)
        counted = (await exchange.report())["in_force"]["t1"]["counts"]
        await exchange.take_back("t1")
        exchange.emit(1)
        after = await received(socket)

    assert ([], [4]) == (during, after)
    assert {"frames_withheld": 3} == counted, "only what somebody had asked for"
    history = await exchange.feed.get("/api/v3/historicalTrades?symbol=AAAUSDT&fromId=1")
    assert [1, 2, 3, 4] == [each["id"] for each in await history.json()]


async def test_who_is_refused_was_closed_before_and_comes_in_after(exchange: Exchange) -> None:
    async with exchange.feed.ws_connect(URL) as socket:
        await exchange.place("t1", "refuse")
        assert ["closed"] == await received(socket)
    with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
        await exchange.feed.ws_connect(URL)
    await exchange.take_back("t1")
    async with exchange.feed.ws_connect(URL) as socket:
        exchange.emit()
        assert [1] == await received(socket)
    counts = (await exchange.report())["counts"]
    assert (1, 1) == (counts["connections_closed"], counts["connections_refused"])


async def test_all_are_closed_once(exchange: Exchange) -> None:
    async with exchange.feed.ws_connect(URL) as one, exchange.feed.ws_connect(URL) as other:
        await exchange.place("t1", "disconnect")
        assert (["closed"], ["closed"]) == (await received(one), await received(other))
    async with exchange.feed.ws_connect(URL) as socket:
        exchange.emit()
        assert [1] == await received(socket)
    assert {"connections_closed": 2} == (await exchange.report())["in_force"]["t1"]["counts"]


async def test_a_storm_closes_again_and_again_until_it_is_over(exchange: Exchange) -> None:
    await exchange.place("t1", "disconnect_storm", every_seconds=0.1)
    for _ in range(3):
        async with exchange.feed.ws_connect(URL) as socket:
            assert WSMsgType.CLOSE == (await socket.receive(timeout=2)).type
    over = await exchange.take_back("t1")
    async with exchange.feed.ws_connect(URL) as socket:
        await asyncio.sleep(0.25)
        exchange.emit()
        assert [1] == await received(socket)
    assert 3 == over["counts"]["connections_closed"]


async def test_malformed_frames_are_no_trades_in_several_ways(exchange: Exchange) -> None:
    async with exchange.feed.ws_connect(URL) as socket:
        await exchange.place("t1", "malformed", percent=100)
        exchange.emit(10)
        broken = await received(socket)
    assert 10 == len(broken)
    assert all(isinstance(each, str) for each in broken)
    assert 5 <= len(set(broken)), "several ways"
    assert 10 == (await exchange.report())["counts"]["frames_malformed"]


@pytest.mark.parametrize(
    "kind, counted", [("malformed", "frames_malformed"), ("duplicate", "trades_duplicated")]
)
async def test_a_share_of_the_frames_is_hit_and_the_first_is_among_them(
    exchange: Exchange, kind: str, counted: str
) -> None:
    async with exchange.feed.ws_connect(URL) as socket:
        await exchange.place("t1", kind, percent=20)
        exchange.emit(1)
        assert 1 == (await exchange.report())["counts"][counted]
        exchange.emit(1999)
        frames = await received(socket)
    hits = (await exchange.report())["counts"][counted]
    assert 300 < hits < 500
    twice = len(frames) - 2000
    broken = sum(isinstance(each, str) for each in frames)
    assert hits == (broken if kind == "malformed" else twice)


async def test_swapped_trades_come_after_the_next_and_all_come(exchange: Exchange) -> None:
    async with exchange.feed.ws_connect(URL) as socket:
        await exchange.place("t1", "reorder", percent=100)
        exchange.emit(5)
        before = await received(socket)
        over = await exchange.take_back("t1")
        after = await received(socket)
    assert ([2, 1, 4, 3], [5]) == (before, after)
    assert 2 == over["counts"]["trades_reordered"]


async def test_delayed_trades_come_late_and_in_order(exchange: Exchange) -> None:
    async with exchange.feed.ws_connect(URL) as socket:
        await exchange.place("t1", "delay", milliseconds=300)
        emitted = time.monotonic()
        exchange.emit(2)
        early = await received(socket)
        late = (await socket.receive_json(timeout=2))["data"]["t"]
        took = time.monotonic() - emitted
        exchange.emit(1)
        await exchange.take_back("t1")
        exchange.emit(1)
        rest = await received(socket)
    assert ([], 1, [2, 3, 4]) == (early, late, rest)
    assert 0.29 < took < 1


async def test_a_timer_of_an_older_delay_does_not_let_go_of_what_a_newer_one_holds(
    exchange: Exchange,
) -> None:
    async with exchange.feed.ws_connect(URL) as socket:
        await exchange.place("t1", "delay", milliseconds=150)
        exchange.emit()
        await exchange.take_back("t1")
        await exchange.place("t2", "delay", milliseconds=4000)
        exchange.emit()
        await asyncio.sleep(0.2)
        assert [1] == await received(socket)


async def test_what_one_fault_held_back_enters_the_next(exchange: Exchange) -> None:
    async with exchange.feed.ws_connect(URL) as socket:
        await exchange.place("swap", "reorder", percent=100)
        await exchange.place("twice", "duplicate", percent=100)
        exchange.emit(2)
        assert [2, 2, 1, 1] == await received(socket), "swapped, and not with themselves"
        await exchange.place("late", "delay", milliseconds=4000)
        exchange.emit(2)
        await exchange.place("quiet", "stall")
        await exchange.take_back("late")
        assert [] == await received(socket)
        await exchange.take_back("quiet")
        exchange.emit()
        await exchange.take_back("swap")
        assert [5, 5] == await received(socket)
    assert 4 == (await exchange.report())["counts"]["frames_withheld"]


async def test_a_burst_multiplies_the_rate_and_what_was_ordered_stays(exchange: Exchange) -> None:
    trading = asyncio.create_task(exchange.market.run())
    await exchange.place("t1", "burst", factor=10)
    await asyncio.sleep(0.5)
    rate = await (await exchange.desk.get("/rate")).json()
    added = (await exchange.report())["in_force"]["t1"]["counts"]["trades_added"]
    total = exchange.market.paced
    over = await exchange.take_back("t1")
    paced = exchange.market.paced
    await asyncio.sleep(0.5)
    after = exchange.market.paced - paced
    trading.cancel()

    assert {"trades_per_second": 100.0} == rate
    assert 0.8 * 450 < added < 1.5 * 450
    assert added <= total * 0.9 + 1
    assert added <= over["counts"]["trades_added"]
    assert 40 <= after <= 75, "no more than the plain rate gives"


async def test_a_market_at_its_plain_rate_adds_nothing(exchange: Exchange) -> None:
    trading = asyncio.create_task(exchange.market.run())
    await exchange.place("t1", "burst", factor=10)
    exchange.market.multiply(1.0)
    before = (await exchange.report())["counts"]["trades_added"]
    await asyncio.sleep(0.3)
    await exchange.desk.post("/trades", json={"count": 50})
    trading.cancel()

    assert before == (await exchange.report())["counts"]["trades_added"]


async def test_a_burst_beyond_what_the_exchange_can_give_is_refused(exchange: Exchange) -> None:
    order = {"kind": "burst", "until_ms": int((time.time() + 60) * 1000)}
    too_much = await exchange.desk.put("/faults/t1", json={**order, "factor": 51})
    first = await exchange.desk.put("/faults/t1", json={**order, "factor": 50})
    again = await exchange.desk.put("/faults/t1", json={**order, "factor": 50})
    second = await exchange.desk.put("/faults/t2", json={**order, "factor": 2})
    await exchange.take_back("t1")
    await exchange.desk.put("/rate", json={"trades_per_second": 0})
    at_rest = await exchange.desk.put("/faults/t3", json={**order, "factor": 2})

    answers = (too_much, first, again, second, at_rest)
    assert [400, 200, 200, 400, 400] == [each.status for each in answers]
    assert "5100 trades per second" in (await too_much.json())["reason"]
    assert "t1 is in force" in (await second.json())["reason"]


async def test_nobody_is_there_so_nothing_is_withheld(exchange: Exchange) -> None:
    await exchange.place("t1", "stall")
    exchange.emit(3)
    assert 0 == (await exchange.report())["counts"]["frames_withheld"]


async def test_an_order_ends_by_itself(exchange: Exchange) -> None:
    async with exchange.feed.ws_connect(URL) as socket:
        await exchange.place("t1", "stall", seconds=0.2)
        exchange.emit()
        await asyncio.sleep(0.3)
        exchange.emit()
        assert [2] == await received(socket)
    report = await exchange.report()
    assert {} == report["in_force"]
    assert "its time is over" == report["ended"]["t1"]["why"]
    assert {"frames_withheld": 1} == report["ended"]["t1"]["counts"]


async def test_a_tag_is_used_once_and_taking_back_can_be_said_twice(exchange: Exchange) -> None:
    await exchange.take_back("late")
    until_ms = int((time.time() + 60) * 1000)
    late = await exchange.desk.put("/faults/late", json={"kind": "stall", "until_ms": until_ms})
    order = {"kind": "stall", "until_ms": until_ms}
    first = await exchange.desk.put("/faults/t1", json=order)
    again = await exchange.desk.put("/faults/t1", json=order)
    other = await exchange.desk.put("/faults/t1", json={**order, "kind": "refuse"})
    await exchange.take_back("t1")
    over = await exchange.take_back("t1")
    after = await exchange.desk.put("/faults/t1", json=order)

    assert [409, 200, 200, 409, 409] == [x.status for x in (late, first, again, other, after)]
    assert "over" in (await late.json())["reason"]
    assert not over["in_force"]
    assert {} == (await exchange.report())["in_force"]


async def test_one_order_can_be_asked_for(exchange: Exchange) -> None:
    await exchange.place("t1", "delay", milliseconds=5)
    there = await (await exchange.desk.get("/faults/t1")).json()
    assert (True, "delay", 5.0) == (there["in_force"], there["kind"], there["milliseconds"])
    assert 404 == (await exchange.desk.get("/faults/t2")).status


@pytest.mark.parametrize(
    "change, why",
    [
        ({"kind": "explode"}, "kind must be one of stall"),
        ({"kind": None}, "kind must be one of"),
        ({"percent": 5}, "stall knows no percent"),
        ({"until_ms": None}, "until_ms must be"),
        ({"until_ms": 1}, "later than now"),
        ({"until_ms": 9_999_999_999_999}, "at most 3600 s away"),
        ({"kind": "duplicate"}, "percent must be a number within 0.01..100"),
        ({"kind": "duplicate", "percent": 0}, "percent must be"),
        ({"kind": "duplicate", "percent": 100.1}, "percent must be"),
        ({"kind": "malformed", "percent": True}, "percent must be"),
        ({"kind": "reorder", "percent": "10"}, "percent must be"),
        ({"kind": "delay", "milliseconds": 4001}, "within 1..4000"),
        ({"kind": "disconnect_storm", "every_seconds": 0}, "every_seconds must be"),
    ],
)
async def test_a_bad_order_is_refused_with_one_clear_line(
    exchange: Exchange, change: dict[str, Any], why: str
) -> None:
    order = {"kind": "stall", "until_ms": int((time.time() + 60) * 1000), **change}
    answer = await exchange.desk.put("/faults/t1", json=order)

    assert 400 == answer.status
    reason = (await answer.json())["reason"]
    assert why in reason
    assert "\n" not in reason
    assert not exchange.faults


@pytest.mark.parametrize("body", ["", "[]", "{", '{"kind": "duplicate", "percent": NaN}'])
async def test_what_is_no_order_is_refused(exchange: Exchange, body: str) -> None:
    answer = await exchange.desk.put("/faults/t1", data=body)

    assert 400 == answer.status
    assert not exchange.faults
