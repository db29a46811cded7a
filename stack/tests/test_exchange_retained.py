"""The retained trades in columns: what an auditor compares records with."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from test_exchange_doors import Exchange

from exchange.content import content_of, decimal_text

Client = TestClient[Any, Any]


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    return Exchange(tmp_path)


@pytest.fixture
async def control(exchange: Exchange) -> AsyncIterator[Client]:
    async with TestClient(TestServer(exchange.control.application())) as client:
        yield client


async def asked(control: Client, **query: object) -> tuple[int, dict[str, Any]]:
    params = {name: str(value) for name, value in query.items()}
    response = await control.get("/trades", params=params)
    answer: dict[str, Any] = await response.json()
    return response.status, answer


async def test_trades_are_told_in_columns_as_they_were_emitted(
    exchange: Exchange, control: Client
) -> None:
    exchange.emit("AAAUSDT", 2, 1_000)
    exchange.emit("AAAUSDT", 3, 2_000)

    status, answer = await asked(control, symbol="AAAUSDT", from_id=2, limit=3)

    contents = [content_of(7, "AAAUSDT", trade_id) for trade_id in (2, 3, 4)]
    assert 200 == status
    assert {
        "schema": 1,
        "symbol": "AAAUSDT",
        "first_id": 2,
        "time_ms": [1_000, 2_000, 2_000],
        "price": [decimal_text(each.price) for each in contents],
        "quantity": [decimal_text(each.quantity) for each in contents],
        "side": ["SELL" if each.buyer_is_maker else "BUY" for each in contents],
    } == answer


async def test_a_page_of_any_length_is_whole_and_in_order(
    exchange: Exchange, control: Client
) -> None:
    """More than one slice, not a multiple of it, and more than there is."""
    exchange.emit("AAAUSDT", 1_234, 1_000)

    _, answer = await asked(control, symbol="AAAUSDT", from_id=0, limit=10_000)

    prices = [decimal_text(content_of(7, "AAAUSDT", each).price) for each in range(1, 1_235)]
    assert (1, prices) == (answer["first_id"], answer["price"])
    assert {1_234} == {len(answer[name]) for name in ("time_ms", "quantity", "side")}


async def test_what_is_no_longer_retained_moves_the_first_id(
    exchange: Exchange, control: Client
) -> None:
    for second in range(100):
        exchange.emit("AAAUSDT", 1, second * 1_000)
        exchange.tape.turn(second * 1_000)
    oldest = exchange.tape.history("AAAUSDT").retained_from_id

    _, answer = await asked(control, symbol="AAAUSDT", from_id=1, limit=2)

    assert 1 < oldest == answer["first_id"]
    assert 2 == len(answer["time_ms"])


@pytest.mark.parametrize("symbol, from_id", [("AAAUSDT", 3), ("AAAUSDT", 2**62), ("BBBUSDT", 1)])
async def test_where_nothing_is_the_columns_are_empty(
    symbol: str, from_id: int, exchange: Exchange, control: Client
) -> None:
    exchange.emit("AAAUSDT", 2, 1_000)

    status, answer = await asked(control, symbol=symbol, from_id=from_id, limit=5)

    assert (200, from_id) == (status, answer["first_id"])
    assert [[], [], [], []] == [answer[name] for name in ("time_ms", "price", "quantity", "side")]


@pytest.mark.parametrize(
    "query, status, why",
    [
        ({"symbol": "ZZZUSDT"}, 404, "symbol='ZZZUSDT' is not traded here"),
        ({"symbol": "aaausdt"}, 404, "not traded"),
        ({"symbol": ""}, 404, "not traded"),
        ({"limit": 0}, 400, "limit='0' is not a whole number within 1..10000"),
        ({"limit": 10_001}, 400, "limit"),
        ({"limit": "1e3"}, 400, "limit"),
        ({"limit": ""}, 400, "limit"),
        ({"from_id": -1}, 400, "from_id"),
        ({"from_id": "x"}, 400, "from_id"),
        ({"from_id": "²"}, 400, "from_id"),
        ({"from_id": 2**63}, 400, "from_id"),
    ],
)
async def test_a_bad_question_is_refused_with_a_reason(
    query: dict[str, object], status: int, why: str, control: Client
) -> None:
    good = {"symbol": "AAAUSDT", "from_id": 1, "limit": 1}

    got, answer = await asked(control, **(good | query))

    assert status == got
    assert why in answer["reason"]


async def test_the_market_is_not_kept_waiting_by_the_longest_page(
    exchange: Exchange, control: Client
) -> None:
    """Other tasks come round between the slices: at least once in every 25 ms."""
    exchange.emit("AAAUSDT", 10_000, 1_000)
    asking = asyncio.create_task(asked(control, symbol="AAAUSDT", from_id=1, limit=10_000))
    turns = 0
    longest, last = 0.0, time.perf_counter()
    while not asking.done():
        await asyncio.sleep(0)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        turns += 1

    assert 10_000 == len((await asking)[1]["price"])
    assert turns > 20
    assert longest < 0.05
