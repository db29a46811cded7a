"""
What is newest at a stage, and how stale that makes it.

The definition of freshness stands here and nowhere else. For one key it is 0 while every emitted
record is visible, else now minus the event time of the newest visible one; the stage's is that of
its worst key. Freshness comes from the records themselves, never from a lag: a dead source has
no lag.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import pyarrow as pa

ACTIVE_WITHIN: Final = timedelta(seconds=60)
"""Without an exchange, a key counts while its newest record is at most so much older than the
newest of all keys: all keys of a stalled pipeline stay active, a delisted symbol does not."""


class Sighting(NamedTuple):
    """The newest record of one key that a stage shows."""

    sequence: int
    event_time: datetime


@dataclass(frozen=True, slots=True)
class Emitted:
    """
    What the exchange emitted for one key.

    Attributes:
        last_id: 0 where the key never traded.
        oldest_time: Event time of the oldest record it still remembers.
    """

    last_id: int
    last_time: datetime | None = None
    oldest_time: datetime | None = None


def freshness_seconds(
    visible: Mapping[str, Sighting], emitted: Mapping[str, Emitted], now: datetime
) -> float:
    """
    The stage's freshness against what the exchange emitted.

    Args:
        visible: The newest record per key at the stage, looked at *after* the exchange; a record
            emitted between the two looks can then not make the stage look stale.
        emitted: What the exchange had emitted at the first look.
        now: The exchange's clock at the second look.

    A key of which nothing is visible yet is as stale as the oldest record the exchange remembers
    of it: that record has been missing for so long.
    """
    return max((_of_key(visible.get(key), one, now) for key, one in emitted.items()), default=0.0)


def _of_key(sighting: Sighting | None, emitted: Emitted, now: datetime) -> float:
    if emitted.last_id <= (sighting.sequence if sighting else 0):
        return 0.0
    newest = sighting.event_time if sighting else emitted.oldest_time
    return max(0.0, (now - newest).total_seconds()) if newest else 0.0


def unaided_freshness_seconds(
    visible: Mapping[str, Sighting], active: Mapping[str, Sighting], now: datetime
) -> float | None:
    """
    The stage's freshness where no exchange tells what was emitted: now minus the newest event time
    of the worst *active* key.

    Args:
        visible: The newest record per key at the stage.
        active: The active keys with their newest record at the first stage. One that is not
            visible at all counts by that record: a lower bound, for when its first record was
            due is not known.
        now: The wall clock.

    Returns:
        ``None`` when no key is active: there is nothing to measure from.
    """
    times = [visible.get(key, newest).event_time for key, newest in active.items()]
    return max(0.0, (now - min(times)).total_seconds()) if times else None


def active_keys(newest: Mapping[str, Sighting]) -> dict[str, Sighting]:
    """The keys whose newest record is not far older than the newest of all keys."""
    if not newest:
        return {}
    since = max(sighting.event_time for sighting in newest.values()) - ACTIVE_WITHIN
    return {key: one for key, one in newest.items() if one.event_time >= since}


def newest_of(records: pa.Table) -> dict[str, Sighting]:
    """The record with the highest sequence of each key in *records* (schema `RECORDS`)."""
    ordered = records.sort_by("sequence").group_by("key", use_threads=False)
    last = ordered.aggregate([("sequence", "last"), ("event_time", "last")])
    columns = (last["key"], last["sequence_last"], last["event_time_last"])
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return {key: Sighting(sequence, event_time) for key, sequence, event_time in rows}


def advance(newest: dict[str, Sighting], seen: Mapping[str, Sighting]) -> None:
    """Raise the running maximum *newest* to what was *seen* since."""
    for key, sighting in seen.items():
        if key not in newest or sighting.sequence > newest[key].sequence:
            newest[key] = sighting
