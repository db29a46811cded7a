"""
The grid: every tick is due at its start plus a whole number of periods, by the monotonic clock.

A tick that is late makes the next one no later; ticks that were missed altogether (the machine
slept) are left out, and not made up for.
"""

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from k2chaos.clock import Clock

_NOTHING: Final = 3600.0


@dataclass(order=True, slots=True)
class _Series:
    """Ticks of one period; ordered by when the next one is due."""

    due: float
    order: int
    start: float = field(compare=False)
    period: float = field(compare=False)
    call: Callable[[], None] = field(compare=False)

    def advance(self, now: float) -> None:
        """Go on to the first tick after *now*."""
        done = round((self.due - self.start) / self.period)
        missed = int((now - self.start) / self.period)
        self.due = self.start + (max(done, missed) + 1) * self.period


class Ticker:
    """
    Calls what is due, in one thread. What it calls must not wait for anybody.

    Args:
        clock: Whose monotonic time the grid lies on.
        over: Set by whoever wants the ticks to end.
    """

    def __init__(self, clock: Clock, over: threading.Event) -> None:
        """Lay the grid from here."""
        self._clock = clock
        self._over = over
        self._start = clock.monotonic()
        self._series: list[_Series] = []

    def every(self, period: float, call: Callable[[], None], offset: float = 0.0) -> None:
        """*call* every *period* seconds, the first time *offset* seconds after the grid's start."""
        start = self._start + offset
        self._series.append(_Series(start, len(self._series), start, period, call))

    def run(self) -> None:
        """Tick until it is over."""
        heapq.heapify(self._series)
        while not self._over.is_set():
            wait = self._series[0].due - self._clock.monotonic() if self._series else _NOTHING
            if wait > 0:
                self._clock.wait(wait, self._over)
                continue
            series = self._series[0]
            series.call()
            series.advance(self._clock.monotonic())
            heapq.heapreplace(self._series, series)
