from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from k2chaos.errors import StageBlind, StageUnavailable
from k2chaos.evidence.freshness import Emitted
from k2chaos.system.exchange import ExchangeClient
from tests.fakes.exchange import FakeExchange, fake_exchange
from tests.fakes.servers import refusing


@pytest.fixture
def exchange() -> Iterator[FakeExchange]:
    with fake_exchange(BTCUSDT=420, NEWUSDT=0) as fake:
        yield fake


def test_the_ledger_says_what_was_emitted_by_the_exchanges_clock(exchange: FakeExchange) -> None:
    ledger = ExchangeClient(exchange.url).ledger()

    assert exchange.now == ledger.now
    assert 7 == ledger.seed
    assert {"BTCUSDT": 420, "NEWUSDT": 0} == ledger.last_ids
    btc = ledger.keys["BTCUSDT"]
    assert (exchange.time_of(420), exchange.time_of(1)) == (btc.last_time, btc.oldest_time)
    assert Emitted(0) == ledger.keys["NEWUSDT"]


def test_last_ids_are_those_of_now(exchange: FakeExchange) -> None:
    client = ExchangeClient(exchange.url)
    client.last_ids()
    exchange.last_ids["BTCUSDT"] = 421

    assert 421 == client.last_ids()["BTCUSDT"]


def test_a_past_moment_is_asked_for_in_milliseconds(exchange: FakeExchange) -> None:
    ExchangeClient(exchange.url).ledger(at=datetime(2026, 1, 1, 0, 0, 0, 5000, UTC))

    assert {"at_ms": "1767225600005"} == exchange.requests[-1].query


def test_the_rate_can_be_asked_and_set(exchange: FakeExchange) -> None:
    client = ExchangeClient(exchange.url)

    assert 100.0 == client.rate()
    assert 250.0 == client.set_rate(250)
    assert 250.0 == client.rate()


@pytest.mark.parametrize(
    "answer",
    [
        {"schema": 2, "now_ms": 1, "seed": 7, "symbols": {}},
        {"schema": 1, "seed": 7, "symbols": {}},
        {"schema": 1, "now_ms": 1, "seed": 7, "symbols": {"BTCUSDT": {"last_id": 1}}},
        {"schema": 1, "now_ms": 1, "seed": 7, "symbols": []},
        [],
    ],
)
def test_a_ledger_of_another_shape_makes_us_blind(exchange: FakeExchange, answer: Any) -> None:
    exchange.server.answer = lambda _: (200, answer)

    with pytest.raises(StageBlind, match=r"exchange\.control"):
        ExchangeClient(exchange.url).ledger()


def test_a_rate_of_another_shape_makes_us_blind(exchange: FakeExchange) -> None:
    exchange.server.answer = lambda _: (200, {"rate": "fast"})

    with pytest.raises(StageBlind, match="trades_per_second"):
        ExchangeClient(exchange.url).rate()


def test_an_exchange_that_is_gone_is_unavailable() -> None:
    with refusing() as url, pytest.raises(StageUnavailable, match="is the service running"):
        ExchangeClient(url).last_ids()
