"""When each retained trade of one symbol was emitted: a run-length index in two flat arrays.

A row says "from this id on, trades carry this event time". Ids are contiguous, so the end of
a row is the start of the next. Rows cost 16 bytes; half an hour at 5,000 trades/s is 17 MB.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass


class BeyondRetentionError(LookupError):
    """The question concerns a time of which the tape keeps no rows any more."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest trade of a symbol as of some moment; id 0 and no time before the first."""

    last_id: int = 0
    last_ms: int | None = None


class History:
    """Event times by id, and ids by event time, of one symbol."""

    __slots__ = ("_first_ids", "_floor", "_times", "last_id", "last_ms")

    def __init__(self, floor: Mark) -> None:
        """Start after *floor*, the newest trade that is no longer retained."""
        self._floor = floor
        self._first_ids = array("Q")
        self._times = array("q")
        self.last_id = floor.last_id
        self.last_ms = floor.last_ms

    @property
    def newest(self) -> Mark:
        """The newest trade."""
        return Mark(self.last_id, self.last_ms)

    @property
    def retained_from_id(self) -> int:
        """The oldest id that can still be asked for; one past the newest if there is none."""
        return self._first_ids[0] if self._first_ids else self.last_id + 1

    @property
    def retained_from_ms(self) -> int | None:
        """The event time of the oldest retained trade."""
        return self._times[0] if self._times else None

    def append(self, count: int, at_ms: int) -> None:
        """Take note of the next *count* trades, emitted at *at_ms*."""
        if not self._times or self._times[-1] != at_ms:
            self._first_ids.append(self.last_id + 1)
            self._times.append(at_ms)
        self.last_id += count
        self.last_ms = at_ms

    def times(self, from_id: int, limit: int) -> Iterator[tuple[int, int]]:
        """Yield (id, event time) of up to *limit* retained trades, ascending from *from_id*."""
        trade_id = max(from_id, self.retained_from_id)
        end = min(trade_id + limit, self.last_id + 1)
        row = bisect_right(self._first_ids, trade_id) - 1
        while trade_id < end:
            stop = min(self._row_end(row), end)
            at_ms = self._times[row]
            for each in range(trade_id, stop):
                yield each, at_ms
            trade_id = stop
            row += 1

    def as_of(self, at_ms: int) -> Mark:
        """Return the newest trade with an event time of at most *at_ms*.

        Raises:
            BeyondRetentionError: The answer lies before everything retained.
        """
        row = bisect_right(self._times, at_ms) - 1
        if row >= 0:
            return Mark(self._row_end(row) - 1, self._times[row])
        if self._floor.last_ms is None or self._floor.last_ms <= at_ms:
            return self._floor
        message = f"retained from {self.retained_from_ms}, asked for {at_ms}"
        raise BeyondRetentionError(message)

    def forget_through(self, mark: Mark) -> None:
        """Drop every trade up to and including *mark*, which always ends a row or more."""
        rows = bisect_right(self._first_ids, mark.last_id)
        if rows and self._row_end(rows - 1) - 1 > mark.last_id:
            # Two segments share this row: keep its rest under the same time.
            rows -= 1
            self._first_ids[rows] = mark.last_id + 1
        del self._first_ids[:rows]
        del self._times[:rows]
        self._floor = mark

    def _row_end(self, row: int) -> int:
        following = row + 1
        if following < len(self._first_ids):
            return self._first_ids[following]
        return self.last_id + 1
