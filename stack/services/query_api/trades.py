"""
The newest rows of the table, in memory. Pure.

Rules of this file:

- Rows are ordered by (timestamp, symbol, source_sequence), and answers run backwards from the
  newest.
- A window is a row of chunks, each in that order, and no chunk begins before the one ahead of it
  ends. Appending touches only the chunks that the new rows reach into; so a batch costs what it
  weighs, and a late one costs more but lands where it belongs.
- ``complete_since`` is the window's promise: every row of the table from that time on is in it.
  ``None`` promises the whole table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

COLUMNS: Final = pa.schema(
    [
        pa.field("message_id", pa.string()),
        pa.field("trade_id", pa.string()),
        pa.field("symbol", pa.string()),
        pa.field("exchange", pa.string()),
        pa.field("asset_class", pa.string()),
        pa.field("timestamp", pa.timestamp("us")),
        pa.field("price", pa.decimal128(18, 8)),
        pa.field("quantity", pa.decimal128(18, 8)),
        pa.field("currency", pa.string()),
        pa.field("side", pa.string()),
        pa.field("trade_conditions", pa.string()),
        pa.field("source_sequence", pa.int64()),
        pa.field("ingestion_timestamp", pa.timestamp("us")),
        pa.field("platform_sequence", pa.int64()),
        pa.field("vendor_data", pa.string()),
    ]
)
OPTIONAL: Final = frozenset(
    {"trade_conditions", "source_sequence", "platform_sequence", "vendor_data"}
)
"""Columns that a row may lack."""
_ORDER: Final = [(name, "ascending") for name in ("timestamp", "symbol", "source_sequence")]
_CHUNK_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: all that agree with what is not ``None``; times in microseconds."""

    symbol: str | None = None
    exchange: str | None = None
    start: int | None = None
    end: int | None = None

    def among(self, rows: pa.Table) -> pa.Table:
        """Pick the wanted ones of *rows*, their order kept."""
        mask = None
        for column, value in (("symbol", self.symbol), ("exchange", self.exchange)):
            if value is not None:
                mask = _and(mask, pc.equal(rows[column], value))
        if self.start is not None:
            mask = _and(mask, pc.greater_equal(rows["timestamp"], _time(self.start)))
        if self.end is not None:
            mask = _and(mask, pc.less(rows["timestamp"], _time(self.end)))
        return rows if mask is None else rows.filter(mask)

    def reaches(self, first: int, last: int) -> bool:
        """Tell whether a wanted row can lie between the times *first* and *last*."""
        after_start = self.start is None or last >= self.start
        return after_start and (self.end is None or first < self.end)

    def spans(self, first: int, last: int) -> bool:
        """Tell whether every time between *first* and *last* is wanted."""
        after_start = self.start is None or first >= self.start
        return after_start and (self.end is None or last < self.end)


@dataclass(frozen=True, slots=True)
class Window:
    """The rows in memory. A value: changes make a new one that shares the chunks."""

    chunks: tuple[pa.Table, ...] = ()
    complete_since: int | None = None

    def __len__(self) -> int:
        """Count the rows."""
        return sum(chunk.num_rows for chunk in self.chunks)

    def covers(self, wanted: Wanted) -> bool:
        """Tell whether no wanted row of the table can be missing here."""
        since = self.complete_since
        return since is None or (wanted.start is not None and wanted.start >= since)

    def extended(self, rows: pa.Table) -> Window:
        """Take in *rows*; those from before ``complete_since`` are left out."""
        rows = Wanted(start=self.complete_since).among(rows)
        if not rows.num_rows:
            return self
        rows = rows.sort_by(_ORDER)
        first = _first(rows)
        kept = list(self.chunks)
        reached: list[pa.Table] = []
        while kept and (_last(kept[-1]) >= first or kept[-1].num_rows < _CHUNK_ROWS):
            reached.insert(0, kept.pop())
        return Window((*kept, *_pieces(_merged(reached, rows, first))), self.complete_since)

    def since(self, cutoff: int) -> Window:
        """Drop what is older than *cutoff*."""
        if self.complete_since is not None and cutoff <= self.complete_since:
            return self
        kept = [chunk for chunk in self.chunks if _last(chunk) >= cutoff]
        if kept and _first(kept[0]) < cutoff:
            kept[0] = kept[0].slice(_rows_before(kept[0], cutoff))
        return Window(tuple(kept), cutoff)

    def bounded(self, most: int) -> Window:
        """Drop the oldest chunks while there are more than *most* rows."""
        chunks = list(self.chunks)
        cutoff = None
        while len(chunks) > 1 and sum(chunk.num_rows for chunk in chunks) > most:
            # Rows of the very same microsecond may follow in the next chunk.
            cutoff = _last(chunks.pop(0)) + 1
        return self if cutoff is None else self.since(cutoff)

    def newest_time(self) -> int | None:
        """Tell the time of the newest row."""
        return _last(self.chunks[-1]) if self.chunks else None

    def oldest_time(self) -> int | None:
        """Tell the time of the oldest row."""
        return _first(self.chunks[0]) if self.chunks else None

    def newest(self, wanted: Wanted, count: int) -> pa.Table:
        """Get the newest *count* wanted rows, newest first."""
        found: list[pa.Table] = []
        missing = count
        for chunk in self._backwards(wanted):
            if missing <= 0:
                break
            matching = wanted.among(chunk)
            found.insert(0, matching.slice(max(0, matching.num_rows - missing)))
            missing -= matching.num_rows
        return newest_first(found)

    def count(self, wanted: Wanted) -> int:
        """Count the wanted rows."""
        return sum(wanted.among(chunk).num_rows for chunk in self._backwards(wanted))

    def _backwards(self, wanted: Wanted) -> Iterator[pa.Table]:
        return (
            chunk for chunk in reversed(self.chunks) if wanted.reaches(_first(chunk), _last(chunk))
        )


def newest_first(parts: Sequence[pa.Table]) -> pa.Table:
    """Put *parts*, each ordered and none before the one ahead of it, newest row first."""
    if not parts:
        return COLUMNS.empty_table()
    rows = pa.concat_tables(parts).combine_chunks()
    return rows.take(pa.array(range(rows.num_rows - 1, -1, -1), pa.int64()))


def merged_newest(parts: Sequence[pa.Table], count: int) -> pa.Table:
    """Get the newest *count* rows of *parts* in any order, in the window's order (oldest first)."""
    rows = pa.concat_tables(parts).sort_by(_ORDER)
    return rows.slice(max(0, rows.num_rows - count)).combine_chunks()


def microseconds(rows: pa.Table) -> pa.ChunkedArray:
    """Get the times of *rows* as integers."""
    return rows["timestamp"].cast(pa.int64())


def _merged(reached: list[pa.Table], rows: pa.Table, first: int) -> pa.Table:
    if not reached:
        return rows.combine_chunks()
    old = pa.concat_tables(reached)
    untouched = _rows_before(old, first)
    tail = pa.concat_tables([old.slice(untouched), rows]).sort_by(_ORDER)
    return pa.concat_tables([old.slice(0, untouched), tail]).combine_chunks()


def _pieces(rows: pa.Table) -> Iterator[pa.Table]:
    for at in range(0, rows.num_rows, 2 * _CHUNK_ROWS):
        yield rows.slice(at, 2 * _CHUNK_ROWS)


def _rows_before(ordered: pa.Table, time: int) -> int:
    before = pc.sum(pc.less(ordered["timestamp"], _time(time))).as_py()
    return int(before or 0)


def _first(ordered: pa.Table) -> int:
    return int(ordered["timestamp"][0].value)


def _last(ordered: pa.Table) -> int:
    return int(ordered["timestamp"][-1].value)


def _time(microsecond: int) -> pa.Scalar:
    return pa.scalar(microsecond, pa.timestamp("us"))


def _and(mask: pa.ChunkedArray | None, other: pa.ChunkedArray) -> pa.ChunkedArray:
    return other if mask is None else pc.and_(mask, other)
