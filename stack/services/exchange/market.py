"""When trades happen: a grid on the monotonic clock, with no drift and no bursts.

Trade n of a rate is due at origin + n / rate, and is emitted with the first tick after that,
so sleeping too long never lowers the rate. Only a real stall (a paused container, a starved
host) moves the origin: a market that was frozen traded nothing meanwhile, and the log says so.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence

from exchange.segment import Row
from exchange.tape import Tape

log = logging.getLogger(__name__)

TICK_SECONDS = 0.02
STALL_SECONDS = 0.5
# How long a change of rate may go unnoticed while the market sleeps.
_LONGEST_SLEEP_SECONDS = 0.25
_TURN_SECONDS = 1.0
_COMPLAIN_SECONDS = 5.0


class Pacer:
    """How many trades are due by now; knows no clock but the times it is given."""

    __slots__ = ("_emitted", "_expected", "_origin", "rate")

    def __init__(self, rate: float, now: float) -> None:
        """Begin the grid at *now*."""
        self.begin(rate, now)

    def begin(self, rate: float, now: float) -> None:
        """Begin a new grid at *now*; what was due on the old one is not emitted."""
        self.rate = rate
        self._origin = now
        self._emitted = 0
        self._expected = now

    def due(self, now: float) -> tuple[int, float]:
        """Return how many trades to emit now, and for how long the market was stalled."""
        stalled = now - self._expected
        if stalled > STALL_SECONDS:
            self.begin(self.rate, now)
            # A market at rest misses nothing.
            return 0, stalled if self.rate else 0.0
        # The tolerance keeps a wake-up right on the grid from rounding down to one trade less.
        total = math.floor((now - self._origin) * self.rate + 1e-6)
        count = total - self._emitted
        self._emitted = total
        return count, 0.0

    def next_wake(self, now: float) -> float:
        """Return when to ask again: at the tick that follows the next due trade."""
        wake = now + _LONGEST_SLEEP_SECONDS
        if self.rate > 0:
            due = math.ceil((self._emitted + 1) / self.rate / TICK_SECONDS - 1e-6)
            # Rounding must not name the tick that has just been served.
            next_tick = math.floor((now - self._origin) / TICK_SECONDS + 1e-6) + 1
            wake = min(wake, self._origin + max(due, next_tick) * TICK_SECONDS)
        self._expected = wake
        return wake


class Market:
    """Emits trades: first onto the tape, then to whoever watches."""

    def __init__(
        self, symbols: Sequence[str], tape: Tape, rate: float, publish: Callable[[list[Row]], None]
    ) -> None:
        """Prepare; nothing is emitted before `run`."""
        self._symbols = symbols
        self._tape = tape
        self._publish = publish
        self._pacer = Pacer(rate, time.monotonic())
        self._turn_at = 0.0
        self._cursor = 0
        self._seen_alive = time.monotonic()
        self._complained_at = -math.inf
        self.emitted = 0
        self.stalls = 0
        self.tape_error: str | None = None

    @property
    def rate(self) -> float:
        """Trades per second over all symbols."""
        return self._pacer.rate

    @rate.setter
    def rate(self, value: float) -> None:
        self._pacer.begin(value, time.monotonic())

    @property
    def idle_seconds(self) -> float:
        """For how long the market has not come round."""
        return time.monotonic() - self._seen_alive

    async def run(self) -> None:
        """Emit until cancelled."""
        self._pacer.begin(self.rate, time.monotonic())
        while True:
            now = time.monotonic()
            self._seen_alive = now
            count, stalled = self._pacer.due(now)
            if stalled:
                self.stalls += 1
                missed = int(stalled * self.rate)
                log.warning("the market stood still for %.2f s: %d trades less", stalled, missed)
            self._emit(count)
            self._tidy(now)
            await asyncio.sleep(max(0.0, self._pacer.next_wake(now) - time.monotonic()))

    def _emit(self, count: int) -> None:
        if not count:
            return
        # Never back in time, though the wall clock may be set back.
        at_ms = max(time.time_ns() // 1_000_000, self._tape.newest_ms)
        rows = self._share_out(count, at_ms)
        try:
            self._tape.append(rows)
        except OSError as error:
            self._complain(error)
            return
        self.tape_error = None
        self._cursor += count
        self.emitted += count
        self._publish(rows)

    def _share_out(self, count: int, at_ms: int) -> list[Row]:
        """Deal *count* trades out in turn, going on where the last tick ended."""
        symbols = self._symbols
        each, extra = divmod(count, len(symbols))
        rows = []
        for position in range(min(count, len(symbols))):
            symbol = symbols[(self._cursor + position) % len(symbols)]
            first_id = self._tape.history(symbol).last_id + 1
            rows.append(Row(symbol, first_id, each + (position < extra), at_ms))
        return rows

    def _tidy(self, now: float) -> None:
        if now < self._turn_at:
            return
        self._turn_at = now + _TURN_SECONDS
        try:
            self._tape.turn(time.time_ns() // 1_000_000)
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        self.tape_error = str(error)
        now = time.monotonic()
        if now - self._complained_at >= _COMPLAIN_SECONDS:
            self._complained_at = now
            log.error("nothing is traded, the tape cannot be written: %s", error)
