"""When trades happen: a grid on the monotonic clock, with no drift and no bursts.

Trade n of a rate is due at origin + n / rate, and is emitted with the first tick after that,
so sleeping too long never lowers the rate. A change of rate goes on where the old one stood: what
was due is emitted, the fraction of a trade that was not is carried over, and the market wakes at
once; so no change, and no flood of them, loses or bunches trades. Only a real stall (a paused
container, a starved host) moves the origin: a market that was frozen traded nothing meanwhile, and
the log says so.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence

from exchange.segment import Row
from exchange.settings import MAX_RATE
from exchange.tape import Tape

log = logging.getLogger(__name__)

TICK_SECONDS = 0.02
STALL_SECONDS = 0.5
# The market shows that it lives, and tidies up, though nothing is due.
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
        self._emitted = 0.0
        self._expected = now

    def change(self, rate: float, now: float) -> None:
        """Go on at *rate*, after what `due` answered for *now* was emitted."""
        progress = (now - self._origin) * self.rate - self._emitted
        self.begin(rate, now)
        # Less than one trade, and rounding may have taken it for none at all.
        self._emitted = -min(max(progress, 0.0), 1.0)

    def due(self, now: float) -> tuple[int, float]:
        """Return how many trades to emit now, and for how long the market was stalled."""
        stalled = now - self._expected
        if stalled > STALL_SECONDS:
            self.begin(self.rate, now)
            # A market at rest misses nothing.
            return 0, stalled if self.rate else 0.0
        # The tolerance keeps a wake-up right on the grid from rounding down to one trade less.
        count = math.floor((now - self._origin) * self.rate - self._emitted + 1e-6)
        self._emitted += count
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
        self.symbols = symbols
        self._tape = tape
        self._publish = publish
        self._rate = rate
        self._factor = 1.0
        self._pacer = Pacer(rate, time.monotonic())
        self._changed = asyncio.Event()
        self._turn_at = 0.0
        self._cursor = 0
        self._seen_alive = time.monotonic()
        self._complained_at = -math.inf
        self.emitted = 0
        self.stalls = 0
        self._append_error: str | None = None
        self._turn_error: str | None = None

    @property
    def tape_error(self) -> str | None:
        """Why the tape is not as it should be, if it is not; tried again all the time."""
        return self._append_error or self._turn_error

    @property
    def rate(self) -> float:
        """Trades per second over all symbols, as ordered; a burst multiplies them."""
        return self._rate

    @rate.setter
    def rate(self, value: float) -> None:
        self._rate = value
        self._change_pace()

    def multiply(self, factor: float) -> None:
        """Trade *factor* times the rate from now on, at most what the exchange can give."""
        self._factor = factor
        self._change_pace()

    def _change_pace(self) -> None:
        now = time.monotonic()
        self._come_round(now)
        self._pacer.change(min(self._rate * self._factor, MAX_RATE), now)
        self._changed.set()

    @property
    def paced(self) -> int:
        """How many trades were emitted because they were due, not on demand."""
        return self._cursor

    @property
    def idle_seconds(self) -> float:
        """For how long the market has not come round."""
        return time.monotonic() - self._seen_alive

    def emit(self, count: int, symbols: Sequence[str]) -> list[Row]:
        """Emit *count* trades now, dealt out to *symbols* in turn, whatever the rate is.

        Raises:
            KeyError: A symbol is not traded here.
            OSError: The tape cannot be written; nothing was emitted.
        """
        rows = self._dealt(count, symbols, 0)
        self._record(rows)
        return rows

    async def run(self) -> None:
        """Emit until cancelled."""
        self._pacer.begin(self._pacer.rate, time.monotonic())
        while True:
            now = time.monotonic()
            self._come_round(now)
            self._tidy(now)
            await self._sleep(self._pacer.next_wake(now) - time.monotonic())

    def _come_round(self, now: float) -> None:
        self._seen_alive = now
        count, stalled = self._pacer.due(now)
        if stalled:
            self.stalls += 1
            missed = int(stalled * self._pacer.rate)
            log.warning("the market stood still for %.2f s: %d trades less", stalled, missed)
        self._emit(count)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, or until the rate is changed."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._changed.wait()

    def _emit(self, count: int) -> None:
        if not count:
            return
        try:
            self._record(self._dealt(count, self.symbols, self._cursor))
        except OSError as error:
            self._append_error = str(error)
            self._complain("nothing is traded, the tape cannot be written", error)
            return
        self._append_error = None
        self._cursor += count

    def _record(self, rows: list[Row]) -> None:
        self._tape.append(rows)
        self.emitted += sum(row.trades for row in rows)
        self._publish(rows)

    def _dealt(self, count: int, symbols: Sequence[str], start: int) -> list[Row]:
        """Deal *count* trades out to *symbols* in turn, beginning with that at *start*."""
        # Never back in time, though the wall clock may be set back.
        at_ms = max(time.time_ns() // 1_000_000, self._tape.newest_ms)
        each, extra = divmod(count, len(symbols))
        rows = []
        for position in range(min(count, len(symbols))):
            symbol = symbols[(start + position) % len(symbols)]
            first_id = self._tape.history(symbol).last_id + 1
            rows.append(Row(symbol, first_id, each + (position < extra), at_ms))
        return rows

    def _tidy(self, now: float) -> None:
        if now < self._turn_at:
            return
        self._turn_at = now + _TURN_SECONDS
        if not self.rate:
            # At rest there is nothing to write: what failed before says nothing of now.
            self._append_error = None
        try:
            self._tape.turn(time.time_ns() // 1_000_000)
        except OSError as error:
            self._turn_error = str(error)
            self._complain("the tape's segments cannot be kept up", error)
        else:
            self._turn_error = None

    def _complain(self, what: str, error: OSError) -> None:
        now = time.monotonic()
        if now - self._complained_at >= _COMPLAIN_SECONDS:
            self._complained_at = now
            log.error("%s: %s", what, error)
