"""Ticks lie on the grid, whatever each of them costs."""

import threading

from k2chaos.system.observer.ticking import Ticker
from tests.fakes.clock import FakeClock


def run_for(seconds: float, cost: float, period: float, offset: float = 0.0) -> list[float]:
    """When ticks came that take *cost* seconds each."""
    clock, over = FakeClock(), threading.Event()
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(clock.seconds)
        clock.seconds += cost
        if clock.seconds >= seconds:
            over.set()

    ticker = Ticker(clock, over)
    ticker.every(period, tick, offset)
    ticker.run()
    return ticks


def test_what_a_tick_costs_makes_no_later_one_late() -> None:
    ticks = run_for(60.0, cost=0.013, period=0.2)

    assert len(ticks) == 301
    assert max(abs(tick - 0.2 * number) for number, tick in enumerate(ticks)) < 1e-9


def test_ticks_that_were_missed_are_left_out_and_the_next_lie_on_the_grid() -> None:
    assert [0.0, 0.6, 1.2, 1.8] == [round(tick, 6) for tick in run_for(2.0, 0.5, 0.2)]


def test_a_series_begins_at_its_offset() -> None:
    assert [0.25, 1.25, 2.25] == run_for(2.5, 0.3, 1.0, offset=0.25)


def test_series_do_not_delay_each_other() -> None:
    clock, over = FakeClock(), threading.Event()
    ticks: dict[float, list[float]] = {0.2: [], 0.5: []}
    ticker = Ticker(clock, over)
    for period, seen in ticks.items():
        ticker.every(period, lambda seen=seen: seen.append(clock.seconds))  # type: ignore[misc]
    ticker.every(3.0, over.set, 3.01)
    ticker.run()

    assert [round(0.2 * number, 6) for number in range(16)] == [round(t, 6) for t in ticks[0.2]]
    assert [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0] == ticks[0.5]


def test_nothing_ticks_once_it_is_over() -> None:
    over = threading.Event()
    over.set()
    ticks: list[int] = []
    ticker = Ticker(FakeClock(), over)
    ticker.every(1.0, lambda: ticks.append(1))
    ticker.run()

    assert [] == ticks
