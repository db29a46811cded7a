"""
How many trades of which symbol a file holds, and between which times. Pure.

A table's answer is the sum over the files of its current snapshot. Files never change, so one
count per file lasts; compaction and deletion need no special care.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from query_api.trades import Wanted

COLUMNS: Final = ("symbol", "exchange", "timestamp")

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Tally:
    """Some trades: how many, the times of the first and the last (microseconds)."""

    count: int
    first: int
    last: int

    def plus(self, other: Tally) -> Tally:
        """Add another tally."""
        return Tally(
            self.count + other.count, min(self.first, other.first), max(self.last, other.last)
        )


Census = Mapping[Key, Tally]


def taken(rows: pa.Table) -> Census:
    """Count *rows* by (symbol, exchange)."""
    times = rows.select(["symbol", "exchange"]).append_column(
        "time", rows["timestamp"].cast(pa.int64())
    )
    groups = times.group_by(["symbol", "exchange"], use_threads=False).aggregate(
        [("time", "count"), ("time", "min"), ("time", "max")]
    )
    return {
        (row["symbol"], row["exchange"]): Tally(row["time_count"], row["time_min"], row["time_max"])
        for row in groups.to_pylist()
    }


def total(parts: Iterable[Census]) -> dict[Key, Tally]:
    """Sum *parts* up."""
    sums: dict[Key, Tally] = {}
    for part in parts:
        for key, tally in part.items():
            known = sums.get(key)
            sums[key] = tally if known is None else known.plus(tally)
    return sums


def matching(part: Census, wanted: Wanted) -> int:
    """Count the trades in *part* of the wanted symbol and exchange, whatever their time."""
    return sum(tally.count for key, tally in part.items() if _agrees(key, wanted))


def _agrees(key: Key, wanted: Wanted) -> bool:
    symbol, exchange = key
    return wanted.symbol in (None, symbol) and wanted.exchange in (None, exchange)
