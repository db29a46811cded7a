"""
What one stage shows of a window, counted batch by batch.

Arrays are indexed by slot (`k2chaos.evidence.slots`): so much memory a record, however many batches
its sightings come in. `Ground` is what is known of the records themselves and outlives the stages.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2chaos.evidence.slots import PHANTOM, Booleans, Integers, Slots

ROWS: Final = 1 << 20
"""How many rows are counted at once."""
_MANY: Final = 1 << 16
_UNKNOWN: Final = -1

Identity = tuple[str, int]
Counts = npt.NDArray[np.uint32]


@dataclass(slots=True)
class Ground:
    """
    What is known of each record of the window, from the first stage that showed it.

    Attributes:
        times: Event times in microseconds; -1 where no stage showed the record yet.
        digests: 0 where the content is not known.
        corrupted: Whose content was found to differ at a stage already.
    """

    slots: Slots
    times: Integers = field(init=False)
    digests: Integers = field(init=False)
    corrupted: Booleans = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is known yet."""
        self.times = np.full(self.slots.size, _UNKNOWN, dtype=np.int64)
        self.digests = np.zeros(self.slots.size, dtype=np.int64)
        self.corrupted = np.zeros(self.slots.size, dtype=bool)

    def learn(self, places: Integers, rows: pa.Table) -> Integers:
        """
        Take in what *rows*, which lie at *places* inside the window, say of their records.

        Returns:
            The digests of *rows*.
        """
        times = rows["event_time"].cast(pa.int64()).to_numpy()
        is_new = self.times[places] == _UNKNOWN
        self.times[places[is_new]] = times[is_new]
        digests: Integers = rows["digest"].fill_null(0).to_numpy()
        is_new = self.digests[places] == 0
        self.digests[places[is_new]] = digests[is_new]
        # Held against what was learnt from these very rows, too: two copies may differ.
        self.corrupted[places[(digests != 0) & (self.digests[places] != digests)]] = True
        return digests


@dataclass(slots=True)
class Tally:
    """
    One stage.

    Attributes:
        counts: By slot, how often it was seen.
        reordered: Slots first seen after one of the same key with a higher sequence.
        phantoms: Records that were never emitted, with their event time in microseconds.
        emptied: Slots of which a sighting lacks content that is known of them.
        tells_content: Whether any sighting has content.
    """

    slots: Slots
    counts: Counts = field(init=False)
    reordered: list[Integers] = field(default_factory=list)
    phantoms: dict[Identity, int] = field(default_factory=dict)
    emptied: Booleans = field(init=False)
    tells_content: bool = False
    _highest: Integers = field(init=False)

    def __post_init__(self) -> None:
        """Nothing was seen yet."""
        self.emptied = np.zeros(self.slots.size, dtype=bool)
        self.counts = np.zeros(self.slots.size, dtype=np.uint32)
        self._highest = np.full(len(self.slots.keys) + 1, _UNKNOWN, dtype=np.int64)

    def take(self, rows: pa.Table, ground: Ground) -> None:
        """Count *rows* (schema `RECORDS`), the next of this stage in its order."""
        places = self.slots.places(rows)
        is_inside = places >= 0
        if not is_inside.all():
            self._take_phantoms(rows, places)
            rows, places = rows.filter(pa.array(is_inside)), places[is_inside]
        if not places.size:
            return
        was_seen = self.counts[places] > 0
        np.add.at(self.counts, places, np.uint32(1))
        self._take_order(places, was_seen)
        digests = ground.learn(places, rows)
        self.emptied[places[(digests == 0) & (ground.digests[places] != 0)]] = True
        self.tells_content |= bool(digests.any())

    def _take_phantoms(self, rows: pa.Table, places: Integers) -> None:
        strange = rows.filter(pa.array(places == PHANTOM))
        times = strange["event_time"].cast(pa.int64()).to_pylist()
        names = zip(strange["key"].to_pylist(), strange["sequence"].to_pylist(), strict=True)
        for name, time in zip(names, times, strict=True):
            self.phantoms.setdefault(name, time)

    def _take_order(self, places: Integers, was_seen: Booleans) -> None:
        """Find the first sightings that come after a higher sequence of their key."""
        codes = np.searchsorted(self.slots.base, places, side="right")
        # Small integers are sorted by radix, several times faster.
        small = codes.astype(np.uint16) if len(self.slots.keys) < _MANY else codes
        order = np.argsort(small, kind="stable")
        ordered, codes = places[order], codes[order]
        starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
        running = ordered.copy()
        running[starts] = np.maximum(ordered[starts], self._highest[codes[starts]])
        # Slots rise from key to key: a running maximum over all rows is one within each key.
        running = np.maximum.accumulate(running)
        self._highest[codes[starts]] = running[np.r_[starts[1:], ordered.size] - 1]
        behind = np.flatnonzero((ordered < running) & ~was_seen[order])
        if behind.size:
            # A copy of a row of this very batch that came in time is no reordering either.
            _, first = np.unique(ordered, return_index=True)
            self.reordered.append(ordered[np.intersect1d(behind, first)])

    def taken_back(self, missing: Booleans, settled: Booleans) -> Booleans:
        """
        The *missing* slots that the stage had shown before the first fault: those up to the newest
        that it had shown (*settled*), where that is missing itself. They did not get lost on their
        way: they were there, and were taken away.
        """
        found = np.zeros(self.slots.size, dtype=bool)
        for begin, end in itertools.pairwise(self.slots.base):
            shown = begin + np.count_nonzero(settled[begin:end])
            if shown > begin and missing[shown - 1]:
                still_there = np.flatnonzero(self.counts[begin:shown])
                behind = begin + still_there[-1] + 1 if still_there.size else begin
                found[behind:shown] = True
        return found & missing

    @property
    def reordered_slots(self) -> Integers:
        """All of `reordered`, in the order seen."""
        return np.concatenate([np.zeros(0, dtype=np.int64), *self.reordered])


def tally(slots: Slots, rows: pa.Table | Iterable[pa.Table], ground: Ground) -> Tally:
    """
    Count all *rows* of one stage, a table or its parts one after the other.

    A stage that tells what some records say, and of others nothing, has changed these.
    """
    counted = Tally(slots)
    for part in in_parts(rows):
        counted.take(part, ground)
    if counted.tells_content:
        ground.corrupted |= counted.emptied
    return counted


def in_parts(rows: pa.Table | Iterable[pa.Table]) -> Iterator[pa.Table]:
    """*rows* in parts of at most `ROWS` rows."""
    for table in (rows,) if isinstance(rows, pa.Table) else rows:
        for start in range(0, len(table), ROWS):
            yield table.slice(start, ROWS)
