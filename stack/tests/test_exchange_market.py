"""When trades happen: without drift, without bursts, dealt out evenly."""

import asyncio
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_fakes import until

from exchange.market import STALL_SECONDS, TICK_SECONDS, Market, Pacer
from exchange.segment import Row
from exchange.tape import Tape


def run(pacer: Pacer, start: float, seconds: float, late: float = 0.0) -> int:
    """Let *pacer* run, each wake-up *late* by so many seconds."""
    now, total = start, 0
    while now < start + seconds:
        count, stalled = pacer.due(now)
        assert not stalled
        total += count
        now = pacer.next_wake(now) + late
    return total


@given(rate=st.floats(0.5, 5_000), late=st.floats(0, STALL_SECONDS * 0.9))
def test_waking_late_does_not_lower_the_rate(rate: float, late: float) -> None:
    total = run(Pacer(rate, 100.0), 100.0, 20.0, late)
    assert total == pytest.approx(rate * 20, abs=2 + rate * 0.6)


def test_the_grid_does_not_drift_over_an_hour() -> None:
    assert run(Pacer(100.0, 5_000.0), 5_000.0, 3_600.0, late=0.003) == pytest.approx(360_000, abs=4)


def test_a_stall_is_reported_and_its_trades_never_happen() -> None:
    pacer = Pacer(100.0, 0.0)
    pacer.due(0.0)
    pacer.next_wake(0.0)
    count, stalled = pacer.due(30.0)
    assert (count, round(stalled)) == (0, 30)
    pacer.next_wake(30.0)
    assert pacer.due(30.1)[0] == 10


def test_a_market_at_rest_is_not_stalled_and_emits_nothing() -> None:
    pacer = Pacer(0.0, 0.0)
    assert run(pacer, 0.0, 60.0) == 0
    assert pacer.due(1_000.0) == (0, 0.0)


def test_slow_rates_sleep_until_the_next_trade_or_a_change_of_rate() -> None:
    pacer = Pacer(1.0, 0.0)
    pacer.due(0.0)
    assert pacer.next_wake(0.0) == pytest.approx(0.25)
    fast = Pacer(1_000.0, 0.0)
    fast.due(0.0)
    assert fast.next_wake(0.0) == pytest.approx(TICK_SECONDS)


@given(
    st.lists(
        st.tuples(st.floats(0, 5_000), st.floats(0.0, 0.4)),
        min_size=1,
        max_size=60,
    )
)
def test_no_change_of_rate_loses_a_trade_or_adds_one(changes: list[tuple[float, float]]) -> None:
    """What was emitted is the area under the rate, to within a trade, at every change."""
    pacer, now, area, total = Pacer(100.0, 10.0), 10.0, 0.0, 0
    for rate, seconds in changes:
        area += pacer.rate * seconds
        now += seconds
        count, stalled = pacer.due(now)
        assert not stalled
        total += count
        assert total == pytest.approx(area, abs=1.01)
        pacer.change(rate, now)


def test_a_rate_that_is_set_again_and_again_is_kept_all_the_same() -> None:
    pacer, total = Pacer(1.0, 0.0), 0
    for step in range(1, 1_001):
        total += pacer.due(step / 10)[0]
        pacer.change(1.0, step / 10)
    assert total == pytest.approx(100, abs=1)


async def test_a_change_of_rate_is_noticed_at_once_and_a_market_at_rest_stays_silent(
    tmp_path: Path,
) -> None:
    seen: list[int] = []
    tape = Tape(tmp_path, 7, ("AAAUSDT",), 30)
    market = Market(("AAAUSDT",), tape, 0.0, lambda rows: seen.append(rows[0].trades))
    task = asyncio.create_task(market.run())
    await asyncio.sleep(0)
    market.rate = 5_000.0
    await until(lambda: len(seen) >= 3)
    market.rate = 0.0
    emitted = market.emitted
    await until(lambda: market.idle_seconds > 0.1)
    assert market.emitted == emitted
    task.cancel()
    # Ticks of 20 ms; a busy machine may be late by a few, but not by the longest sleep.
    assert max(seen[:3]) < 5_000 * 0.2


async def test_trades_are_on_the_tape_before_anybody_sees_them(tmp_path: Path) -> None:
    symbols = ("AAAUSDT", "BBBUSDT", "CCCUSDT")
    tape = Tape(tmp_path, 7, symbols, 30)
    seen: list[Row] = []

    def publish(rows: list[Row]) -> None:
        for row in rows:
            assert tape.history(row.symbol).last_id == row.first_id + row.trades - 1
        seen.extend(rows)

    market = Market(symbols, tape, 1_000.0, publish)
    task = asyncio.create_task(market.run())
    await asyncio.sleep(0.3)
    task.cancel()
    for symbol in symbols:
        ids = [
            each
            for row in seen
            if row.symbol == symbol
            for each in range(row.first_id, row.first_id + row.trades)
        ]
        assert ids == list(range(1, tape.history(symbol).last_id + 1))
    lasts = [tape.history(symbol).last_id for symbol in symbols]
    assert max(lasts) - min(lasts) <= 1
    assert sum(lasts) == market.emitted > 0


async def test_a_tape_that_cannot_be_written_halts_the_market_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class FullTape(Tape):
        full = True

        def append(self, rows: list[Row]) -> None:  # type: ignore[override]
            if self.full:
                message = "no space left"
                raise OSError(message)
            super().append(rows)

    tape = FullTape(tmp_path, 7, ("AAAUSDT",), 30)
    market = Market(("AAAUSDT",), tape, 1_000.0, lambda _: None)
    task = asyncio.create_task(market.run())
    with caplog.at_level(logging.ERROR):
        await asyncio.sleep(0.1)
    assert (market.emitted, market.tape_error) == (0, "no space left")
    assert len(caplog.records) == 1
    tape.full = False
    await asyncio.sleep(0.1)
    task.cancel()
    assert market.emitted > 0
    assert market.tape_error is None
    assert tape.history("AAAUSDT").last_id == market.emitted
