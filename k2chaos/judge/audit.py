"""
The audit: every record of a window, looked for at every stage that could be read.

A record is identified by its key and its sequence, which is contiguous per key; so what ought to
be there is known exactly. Each stage is laid against the one before it, and an anomaly is reported
once, where it first shows: a record that never reached the topic is not lost again in the table.

What the audit cannot say: of a stage that is not among *stages* it says nothing, and a loss found
behind it is put down to all roles in between. A sequence beyond the window is taken for a record
emitted since, never for a phantom.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa

from k2chaos.evidence.finding import Finding
from k2chaos.evidence.records import Window
from k2chaos.evidence.slots import PHANTOM, Booleans, Integers, Slots

EXAMPLES: Final = 10
"""How many records a finding names."""

_ROLES: Final = {"topic": "source", "table": "sink", "api": "serving"}
"""Who brings records to a stage, in the order in which they pass."""
_MANY: Final = 1 << 16
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Seen:
    """
    What one stage shows of the window.

    Attributes:
        at: The roles between the stage before that could be read and this one.
        places: The slot of each row, in the order seen.
        times: The event time of each row, in microseconds.
        counts: By slot, how often it was seen.
    """

    stage: str
    at: str
    records: pa.Table
    places: Integers
    times: Integers
    counts: Integers


def audit(window: Window, stages: Mapping[str, pa.Table]) -> tuple[Finding, ...]:
    """
    Find what is lost, duplicated, phantom or reordered.

    Args:
        window: The records that the run answers for.
        stages: What was seen (schema `RECORDS`) at ``topic``, ``table``, ``api``; a stage that
            could not be read is not in it. Rows outside the window are ignored.

    Returns:
        At most one finding for each anomaly and stage, in the order of the stages.
    """
    slots = Slots.of(window)
    findings: list[Finding] = []
    before: _Seen | None = None
    between: list[str] = []
    for stage, role in _ROLES.items():
        between.append(role)
        if stage not in stages:
            continue
        seen = _seen(slots, stage, " or ".join(between), stages[stage])
        findings += _findings(slots, before, seen)
        before, between = seen, []
    return tuple(findings)


def count_records(window: Window, records: pa.Table) -> int:
    """How many of the window's records are among *records*, each counted once."""
    return int(np.count_nonzero(_counts(window, records)))


def count_lost(window: Window, records: pa.Table) -> int:
    """How many of the window's records are not among *records*."""
    return int(np.count_nonzero(_counts(window, records) == 0))


def count_duplicated(window: Window, records: pa.Table) -> int:
    """How many of *records* are copies of a record of the window that is already there."""
    counts = _counts(window, records)
    return int(counts.sum()) - int(np.count_nonzero(counts))


def _counts(window: Window, records: pa.Table) -> Integers:
    slots = Slots.of(window)
    return _count(slots, slots.places(records))


def _count(slots: Slots, places: Integers) -> Integers:
    return np.bincount(places[places >= 0], minlength=slots.size)


def _seen(slots: Slots, stage: str, at: str, records: pa.Table) -> _Seen:
    places = slots.places(records)
    times = records["event_time"].cast(pa.int64()).to_numpy()
    return _Seen(stage, at, records, places, times, _count(slots, places))


def _findings(slots: Slots, before: _Seen | None, seen: _Seen) -> Iterator[Finding]:
    yield from _lost(slots, before, seen)
    yield from _duplicated(slots, before, seen)
    yield from _phantom(before, seen)
    if seen.stage == "topic":
        yield from _reordered(slots, seen)


def _lost(slots: Slots, before: _Seen | None, seen: _Seen) -> Iterator[Finding]:
    """Records that are not here, though they were at the stage before."""
    is_lost = seen.counts == 0
    if before is not None:
        is_lost &= before.counts > 0
    lost = np.flatnonzero(is_lost)
    if not lost.size:
        return
    if before is not None:
        window = _window(before.times[_rows_of(is_lost, before.places)])
    else:
        window = _neighbours(slots, lost, seen)
    yield _finding("lost", seen, lost.size, _examples(slots, lost), window)


def _duplicated(slots: Slots, before: _Seen | None, seen: _Seen) -> Iterator[Finding]:
    """Copies that the stage before did not have."""
    allowed = np.maximum(before.counts, 1) if before is not None else 1
    extra = np.maximum(seen.counts - allowed, 0)
    doubled = np.flatnonzero(extra)
    if not doubled.size:
        return
    window = _window(seen.times[_rows_of(extra > 0, seen.places)])
    yield _finding("duplicated", seen, int(extra.sum()), _examples(slots, doubled), window)


def _phantom(before: _Seen | None, seen: _Seen) -> Iterator[Finding]:
    """Records that were never emitted, unless the stage before had them already."""
    rows = np.flatnonzero(seen.places == PHANTOM)
    if not rows.size:
        return
    earlier = set(_identities(before.records, before.places == PHANTOM)) if before else set()
    identities = _identities(seen.records, seen.places == PHANTOM)
    pairs = zip(rows, identities, strict=True)
    fresh = [(row, one) for row, one in pairs if one not in earlier]
    if not fresh:
        return
    examples = [{"key": key, "sequence": sequence} for _, (key, sequence) in fresh[:EXAMPLES]]
    window = _window(seen.times[[row for row, _ in fresh]])
    yield _finding("phantom", seen, len(fresh), examples, window)


def _reordered(slots: Slots, seen: _Seen) -> Iterator[Finding]:
    """Records first seen after one of the same key with a higher sequence."""
    rows = np.flatnonzero(seen.places >= 0)
    places = seen.places[rows]
    # Slots rise from key to key: sorted by key (and else as they came), a running maximum over
    # all rows is one within each key.
    codes = np.searchsorted(slots.base, places, side="right")
    # Small integers are sorted by radix, several times faster.
    order = np.argsort(codes.astype(np.uint16) if len(slots.keys) < _MANY else codes, kind="stable")
    places, rows = places[order], rows[order]
    is_late = places < np.maximum.accumulate(places) if places.size else np.zeros(0, dtype=bool)
    is_late[is_late] = _first_sightings(places, seen.counts)[is_late]
    if not is_late.any():
        return
    examples = _examples(slots, places[is_late])
    count = int(np.count_nonzero(is_late))
    yield _finding("reordered", seen, count, examples, _window(seen.times[rows[is_late]]))


def _first_sightings(places: Integers, counts: Integers) -> Booleans:
    """Which rows are not a copy of an earlier one."""
    is_first = np.ones(places.size, dtype=bool)
    repeated = np.flatnonzero(counts[places] > 1)
    if repeated.size:
        _, first = np.unique(places[repeated], return_index=True)
        is_first[repeated] = False
        is_first[repeated[first]] = True
    return is_first


def _rows_of(wanted: Booleans, places: Integers) -> Booleans:
    """The rows whose slot is *wanted*."""
    # The last entry answers for every row outside the window.
    rows: Booleans = np.append(wanted, np.False_)[np.maximum(places, -1)]
    return rows


def _neighbours(slots: Slots, lost: Integers, seen: _Seen) -> tuple[str | None, str | None]:
    """
    When the lost records must have happened: event times never fall within a key, so between
    those of the nearest records of the key that are there.
    """
    times = np.full(slots.size, -1, dtype=np.int64)
    inside = seen.places >= 0
    times[seen.places[inside]] = seen.times[inside]
    present = np.flatnonzero(seen.counts > 0)
    if not present.size:
        return None, None
    key_of_lost = np.searchsorted(slots.base, lost, side="right")
    behind = np.searchsorted(present, lost)
    edges = []
    for neighbour in (behind - 1, behind):
        found = (neighbour >= 0) & (neighbour < present.size)
        near = present[np.clip(neighbour, 0, present.size - 1)]
        found &= np.searchsorted(slots.base, near, side="right") == key_of_lost
        edges.append(times[near[found]])
    return _window(edges[0])[0], _window(edges[1])[1]


def _window(times: Integers) -> tuple[str | None, str | None]:
    """The first and the last of *times*, ISO 8601."""
    if not times.size:
        return None, None
    edges = (int(times.min()), int(times.max()))
    first, last = ((_EPOCH + timedelta(microseconds=edge)).isoformat() for edge in edges)
    return first, last


def _identities(records: pa.Table, mask: Booleans) -> list[tuple[str, int]]:
    rows = records.filter(pa.array(mask))
    return list(zip(rows["key"].to_pylist(), rows["sequence"].to_pylist(), strict=True))


def _examples(slots: Slots, places: Integers) -> list[dict[str, Any]]:
    return [slots.identity(int(place)) for place in places[:EXAMPLES]]


def _finding(
    anomaly: Any,
    seen: _Seen,
    count: int,
    examples: list[dict[str, Any]],
    window: tuple[str | None, str | None],
) -> Finding:
    return Finding(anomaly, seen.stage, seen.at, int(count), tuple(examples), window)
