"""
Time series out of a run's samples: numbers over seconds, laid out for arithmetic.

Times are seconds since 1970 in UTC; a sample without a number has NaN for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_MICROSECONDS: Final = 1e-6
_NONE: Final = np.zeros(0, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity of one stage (and key), in the order of time."""

    at: Floats
    values: Floats

    def __len__(self) -> int:
        """How many samples there are."""
        return int(self.at.size)

    def between(self, begin: float, end: float) -> "Series":
        """The samples from *begin* to *end*, both included."""
        first = int(np.searchsorted(self.at, begin, side="left"))
        last = int(np.searchsorted(self.at, end, side="right"))
        return Series(self.at[first:last], self.values[first:last])

    def known(self) -> "Series":
        """The samples that have a number."""
        is_known = ~np.isnan(self.values)
        return Series(self.at[is_known], self.values[is_known])

    def last_before(self, moment: float) -> float | None:
        """The number that stood at *moment*; ``None`` where nothing was known yet."""
        known = self.known()
        place = int(np.searchsorted(known.at, moment, side="right")) - 1
        return float(known.values[place]) if place >= 0 else None


@dataclass(frozen=True, slots=True)
class Samples:
    """All samples of a run (schema `SAMPLES`)."""

    table: pa.Table

    def series(self, stage: str, quantity: str) -> Series:
        """Every sample of one quantity at one stage, whatever its key."""
        return _series(self._rows(stage, quantity))

    def by_key(self, stage: str, quantity: str) -> Mapping[str, Series]:
        """The same, by key; samples without a key are left out."""
        rows = self._rows(stage, quantity)
        encoded = rows["key"].combine_chunks().dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy()
        series = _series(rows)
        ordered = codes[np.argsort(_seconds(rows), kind="stable")]
        places = {key: ordered == code for code, key in enumerate(encoded.dictionary.to_pylist())}
        return {
            key: Series(series.at[mask], series.values[mask])
            for key, mask in sorted(places.items())
        }

    @property
    def end(self) -> float:
        """The last moment at which anything was sampled; there has to be a sample."""
        return float(_seconds(self.table).max())

    def as_written(self, stage: str, quantity: str) -> Floats:
        """The times of one quantity's samples in the order in which they were written."""
        return _seconds(self._rows(stage, quantity))

    def times_noted(self, stage: str, quantity: str, note: str) -> Floats:
        """When a sample of one quantity bore that note."""
        rows = self._rows(stage, quantity)
        return _seconds(rows.filter(pc.equal(rows["note"], note)))

    def _rows(self, stage: str, quantity: str) -> pa.Table:
        wanted = pc.and_(
            pc.equal(self.table["stage"], stage), pc.equal(self.table["quantity"], quantity)
        )
        return self.table.filter(wanted)


def advances(by_key: Mapping[str, Series]) -> Floats:
    """When the highest number of any key rose; the first sight of a key is no rise."""
    rises = [_NONE]
    for series in by_key.values():
        known = series.known()
        highest = np.maximum.accumulate(known.values)
        rises.append(known.at[1:][highest[1:] > highest[:-1]])
    return np.unique(np.concatenate(rises))


def seconds_of(moment: str | datetime | None) -> float | None:
    """A moment of the evidence (ISO 8601, or parsed) as seconds since 1970."""
    if moment is None:
        return None
    parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return parsed.timestamp()


def _series(rows: pa.Table) -> Series:
    at = _seconds(rows)
    order = np.argsort(at, kind="stable")
    values = rows["value"].to_numpy(zero_copy_only=False).astype(np.float64)
    return Series(at[order], values[order])


def _seconds(rows: pa.Table) -> Floats:
    microseconds = rows["at"].cast(pa.int64()).to_numpy()
    seconds: Floats = microseconds.astype(np.float64) * _MICROSECONDS
    return seconds
