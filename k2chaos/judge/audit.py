"""
The audit: every record of a window, looked for at every stage that could be read.

A record is identified by its key and its sequence, which is contiguous per key; so what ought to
be there is known exactly. Each stage is laid against the one before it, and an anomaly is reported
once, where it first shows: a record that never reached the topic is not lost again in the table.

Precedence, where several could be said of one record: one that is not there and lies in the
dead-letter topic is quarantined, not lost; one that was missing at the deadline and is there now is
late; a copy that comes late is duplicated, not reordered; one whose content was found to differ at
a stage is not compared at those behind it; one without any content, where the stage has that of
others, is corrupted. A lost record that the sink's group has passed is
reported as lost and, beside it, as diverged: that is why it will not come any more.

What the audit cannot say: of a stage that is not among *stages* it says nothing, and a loss found
behind it is put down to all roles in between. A sequence beyond the window is taken for a record
emitted since, never for a phantom. When a copy was made is not known: duplicates are never put
down to the time before the first fault.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from k2chaos.evidence.finding import Anomaly, Finding
from k2chaos.evidence.records import Window
from k2chaos.evidence.slots import Booleans, Integers, Slots
from k2chaos.judge.tally import Ground, Tally, in_parts, tally

EXAMPLES: Final = 10
"""How many records a finding names."""

Rows: TypeAlias = pa.Table | Iterable[pa.Table]
"""Sightings (schema `RECORDS`): all at once, or part by part."""

_ROLES: Final = {"topic": "source", "table": "sink", "api": "serving"}
"""Who brings records to a stage, in the order in which they pass."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Beside:
    """
    What is known beside the records of the stages.

    Attributes:
        at_deadline: By stage that had not all records at its deadline, what it showed then.
        letters: Schema `LETTERS`; ``None`` where nobody looked, or there is no such topic.
        malformed: Schema `MALFORMED`; ``None`` likewise.
        committed: By partition, what the sink's group committed; ``None`` likewise.
        settled: By stage and key, the newest sequence that it showed before the first fault.
    """

    at_deadline: Mapping[str, Rows] = field(default_factory=dict)
    letters: pa.Table | None = None
    malformed: pa.Table | None = None
    committed: Mapping[int, int] | None = None
    settled: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


NOTHING: Final = Beside()


@dataclass(frozen=True, slots=True)
class _Stage:
    """
    One stage that was read.

    Attributes:
        at: The roles between the stage before that could be read and this one.
        before: How often each slot was seen there; ``None`` for the first stage.
        phantoms: What was never emitted and seen there already.
        settled: Slots of which it is known that they had passed, or not, before the first fault.
    """

    name: str
    at: str
    tally: Tally
    ground: Ground
    before: Tally | None
    settled: Booleans


def audit(
    window: Window, stages: Mapping[str, Rows], beside: Beside = NOTHING
) -> tuple[Finding, ...]:
    """
    Find what is lost, late, quarantined, duplicated, phantom, corrupted, reordered or diverged.

    Args:
        window: The records that the run answers for.
        stages: What was seen at ``exchange`` (content only), ``topic``, ``table``, ``api``; a
            stage that could not be read is not in it. Rows outside the window are ignored. The
            topic's may have columns ``partition`` and ``offset``.

    Returns:
        At most two findings for each anomaly and stage (what happened before the first fault, and
        what did since), in the order of the stages.
    """
    slots = Slots.of(window)
    ground = Ground(slots)
    if "exchange" in stages:
        tally(slots, stages["exchange"], ground)
    findings: list[Finding] = []
    before: Tally | None = None
    between: list[str] = []
    for name, role in _ROLES.items():
        between.append(role)
        if name not in stages:
            continue
        known = ground.corrupted.copy()
        counted = tally(slots, stages[name], ground)
        settled = slots.up_to(beside.settled.get(name, {}))
        stage = _Stage(name, " or ".join(between), counted, ground, before, settled)
        findings += _missing(stage, stages, beside)
        findings += _duplicated(stage)
        findings += _phantom(stage)
        findings += _of_slots("corrupted", stage, ground.corrupted & ~known)
        if name == "topic":
            findings += _reordered(stage)
        before, between = counted, []
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
    places = slots.places(records)
    return np.bincount(places[places >= 0], minlength=slots.size)


def _missing(stage: _Stage, stages: Mapping[str, Rows], beside: Beside) -> Iterator[Finding]:
    """Records that are not here, though they were at the stage before; or were not in time."""
    was_there = stage.before.counts > 0 if stage.before is not None else np.True_
    missing = (stage.tally.counts == 0) & was_there
    if stage.name in beside.at_deadline:
        then = tally(stage.ground.slots, beside.at_deadline[stage.name], stage.ground)
        late = (then.counts == 0) & (stage.tally.counts > 0) & was_there
        yield from _of_slots("late", stage, late)
    if stage.name == "table" and beside.letters is not None:
        letters = _lettered(stage.ground.slots, beside.letters, stages.get("topic"))
        yield from _of_slots("quarantined", stage, letters & missing)
        missing &= ~letters
    if missing.any():
        settled = stage.settled & ~stage.tally.taken_back(missing, stage.settled)
        yield from _of_slots("lost", replace(stage, settled=settled), missing)
    if stage.name == "table" and beside.committed is not None and missing.any():
        passed = _passed(stage.ground.slots, missing, stages.get("topic"), beside.committed)
        yield from _of_slots("diverged", stage, passed)


def _lettered(slots: Slots, letters: pa.Table, topic: Rows | None) -> Booleans:
    """The slots of which a letter tells, by its value or by where its record lies."""
    found = np.zeros(slots.size, dtype=bool)
    places = slots.places(letters.filter(letters["key"].is_valid()))
    found[places[places >= 0]] = True
    pairs = zip(letters["partition"].to_pylist(), letters["offset"].to_pylist(), strict=True)
    wanted = {pair for pair in pairs if None not in pair}
    if wanted:
        found |= _lying_at(slots, topic, lambda where: where in wanted)
    return found


def _passed(
    slots: Slots, missing: Booleans, topic: Rows | None, committed: Mapping[int, int]
) -> Booleans:
    """The *missing* slots whose records lie in the topic below the committed offset."""
    return missing & _lying_at(
        slots, topic, lambda where: where[1] < committed.get(where[0], 0), only=missing
    )


def _lying_at(
    slots: Slots, topic: Rows | None, is_meant: Any, only: Booleans | None = None
) -> Booleans:
    """The slots (of *only* those) of which a record lies where it *is_meant* to."""
    found = np.zeros(slots.size, dtype=bool)
    for rows in in_parts(() if topic is None else topic):
        if "offset" not in rows.column_names:
            break
        places = slots.places(rows)
        is_looked_at = places >= 0
        if only is not None:
            is_looked_at &= only[places]
        looked = np.flatnonzero(is_looked_at)
        some = rows.take(pa.array(looked))
        where = zip(some["partition"].to_pylist(), some["offset"].to_pylist(), strict=True)
        chosen = [place for place, one in zip(places[looked], where, strict=True) if is_meant(one)]
        found[chosen] = True
    return found


def _duplicated(stage: _Stage) -> Iterator[Finding]:
    """Copies that the stage before did not have."""
    counts = stage.tally.counts
    is_doubled = counts > 1
    if stage.before is not None:
        is_doubled &= counts > stage.before.counts
    doubled = np.flatnonzero(is_doubled)
    if doubled.size:
        allowed = np.ones(doubled.size, dtype=np.int64)
        if stage.before is not None:
            allowed = np.maximum(allowed, stage.before.counts[doubled])
        extra = int((counts[doubled] - allowed).sum())
        yield _finding("duplicated", stage, extra, doubled, _window(stage.ground.times[doubled]))


def _phantom(stage: _Stage) -> Iterator[Finding]:
    """Records that were never emitted, unless the stage before had them already."""
    earlier = stage.before.phantoms if stage.before is not None else {}
    fresh = {one: time for one, time in stage.tally.phantoms.items() if one not in earlier}
    if fresh:
        named = [{"key": key, "sequence": number} for key, number in [*fresh][:EXAMPLES]]
        window = _window(np.array([*fresh.values()], dtype=np.int64))
        yield Finding("phantom", stage.name, stage.at, len(fresh), tuple(named), window)


def _reordered(stage: _Stage) -> Iterator[Finding]:
    mask = np.zeros(stage.ground.slots.size, dtype=bool)
    mask[stage.tally.reordered_slots] = True
    yield from _of_slots("reordered", stage, mask)


def _of_slots(anomaly: Anomaly, stage: _Stage, mask: Booleans) -> Iterator[Finding]:
    """A finding for the slots of *mask* that had passed before the first fault, one for others."""
    for before_fault, part in ((True, mask & stage.settled), (False, mask & ~stage.settled)):
        slots = np.flatnonzero(part)
        if slots.size:
            times = stage.ground.times[slots]
            window = _neighbours(stage, slots) if (times < 0).any() else _window(times)
            yield _finding(anomaly, stage, slots.size, slots, window, before_fault=before_fault)


def _neighbours(stage: _Stage, lost: Integers) -> tuple[str | None, str | None]:
    """
    When records that no stage shows must have happened: event times never fall within a key, so
    between those of the nearest records of the key that are there.
    """
    ground = stage.ground
    present = np.flatnonzero(ground.times >= 0)
    if not present.size:
        return None, None
    base = ground.slots.base
    key_of_lost = np.searchsorted(base, lost, side="right")
    behind = np.searchsorted(present, lost)
    edges = []
    for neighbour in (behind - 1, behind):
        found = (neighbour >= 0) & (neighbour < present.size)
        near = present[np.clip(neighbour, 0, present.size - 1)]
        found &= np.searchsorted(base, near, side="right") == key_of_lost
        edges.append(ground.times[near[found]])
    return _window(edges[0])[0], _window(edges[1])[1]


def _window(times: Integers) -> tuple[str | None, str | None]:
    """The first and the last of *times*, ISO 8601."""
    if not times.size:
        return None, None
    edges = (int(times.min()), int(times.max()))
    first, last = ((_EPOCH + timedelta(microseconds=edge)).isoformat() for edge in edges)
    return first, last


def _finding(
    anomaly: Anomaly,
    stage: _Stage,
    count: int,
    slots: Integers,
    window: tuple[str | None, str | None],
    *,
    before_fault: bool = False,
) -> Finding:
    named = tuple(stage.ground.slots.identity(int(slot)) for slot in slots[:EXAMPLES])
    return Finding(anomaly, stage.name, stage.at, int(count), named, window, before_fault)
