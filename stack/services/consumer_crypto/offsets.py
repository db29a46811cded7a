"""
The offsets that a snapshot carries. Pure.

One property of the snapshot's summary holds them, as JSON, for all partitions that ever had a
record; each commit merges its own into those of the snapshot it builds on. The id of the batch
is in the same property, so that whoever carries the offsets forward (a compaction, say) carries
the proof of what was written as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self

PROPERTY = "k2.kafka-offsets"


class SnapshotLike(Protocol):
    """What is read of a snapshot."""

    @property
    def snapshot_id(self) -> int:
        """Its id."""

    @property
    def parent_snapshot_id(self) -> int | None:
        """The id of the snapshot it was built on."""

    @property
    def summary(self) -> Mapping[str, str] | None:
        """Its properties."""


@dataclass(frozen=True, slots=True)
class Carried:
    """Up to where a table was filled, and by which batch last."""

    topic: str
    batch: str = ""
    next_offsets: Mapping[int, int] = field(default_factory=dict)

    def to_property(self) -> str:
        """Write it as the snapshot's property."""
        offsets = {str(p): self.next_offsets[p] for p in sorted(self.next_offsets)}
        return json.dumps(
            {"topic": self.topic, "batch": self.batch, "next": offsets}, separators=(",", ":")
        )

    @classmethod
    def from_property(cls, text: str) -> Self:
        """Read it back."""
        value = json.loads(text)
        offsets = {int(partition): int(offset) for partition, offset in value["next"].items()}
        return cls(topic=value["topic"], batch=value["batch"], next_offsets=offsets)

    def advanced(self, batch: str, ends: Mapping[int, int]) -> Carried:
        """Tell what the table carries once *batch*, which ends at *ends*, is written on it."""
        return Carried(self.topic, batch, {**self.next_offsets, **ends})

    def differs(self, other: Carried, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Tell which of *partitions* stand elsewhere in *other*: ``{partition: (here, there)}``."""
        return {
            p: (self.next_offsets.get(p, 0), other.next_offsets.get(p, 0))
            for p in partitions
            if self.next_offsets.get(p, 0) != other.next_offsets.get(p, 0)
        }


def ancestors(snapshots: Iterable[SnapshotLike], current: int | None) -> Iterator[SnapshotLike]:
    """Walk from the *current* snapshot towards the oldest that is still in the history."""
    by_id = {snapshot.snapshot_id: snapshot for snapshot in snapshots}
    while current is not None and (snapshot := by_id.get(current)) is not None:
        yield snapshot
        current = snapshot.parent_snapshot_id


def carried_by(snapshot: SnapshotLike) -> Carried | None:
    """Read the offsets of one snapshot, if it has any."""
    text = (snapshot.summary or {}).get(PROPERTY)
    return Carried.from_property(text) if text else None


def newest_carried(line: Iterable[SnapshotLike]) -> Carried | None:
    """Find the newest offsets in a *line* of ancestors (newest first)."""
    return next(filter(None, map(carried_by, line)), None)


def before_last_batch(line: Iterable[SnapshotLike]) -> Carried | None:
    """Find the offsets that the batch before the newest ended at, in a *line* of ancestors."""
    carried = [one for one in map(carried_by, line) if one]
    return next((one for one in carried if one.batch != carried[0].batch), None)


def holds_batch(line: Iterable[SnapshotLike], batch: str) -> bool:
    """Tell whether a *line* of ancestors contains the commit of *batch*."""
    return any(carried.batch == batch for carried in filter(None, map(carried_by, line)))
