"""
Collecting records into batches, and what a batch does to the offsets. Pure.

Rules of this file:

- A batch is due when its oldest record has waited ``seconds``, or when it is full.
- Within a partition offsets only rise. They may skip (transaction markers, compaction), never
  go back: a batch that starts below the expected offset would write records twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from consumer_crypto.errors import RewindError


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record as it came, with its coordinates."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that go into the table in one commit. ``id`` tells this attempt from any other."""

    records: tuple[Record, ...]
    opened_at: float
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def next_offsets(self) -> dict[int, int]:
        """Tell, per partition, the offset to be read after this batch."""
        ends: dict[int, int] = {}
        for record in self.records:
            ends[record.partition] = max(ends.get(record.partition, 0), record.offset + 1)
        return ends

    def check_follows(self, expected: Mapping[int, int]) -> None:
        """
        Refuse records that are already in the table, or twice in this batch.

        Raises:
            RewindError: A record's offset is below what comes next in its partition.
        """
        due = dict(expected)
        for record in self.records:
            if record.offset < due.get(record.partition, 0):
                message = (
                    f"partition {record.partition}: offset {record.offset} was read again, "
                    f"{due[record.partition]} comes next"
                )
                raise RewindError(message)
            due[record.partition] = record.offset + 1


class Buffer:
    """The records read and not yet handed to the writer."""

    def __init__(self, seconds: float, size: int) -> None:
        """Close batches after *seconds* or at *size* records."""
        self._seconds = seconds
        self._size = size
        self._records: list[Record] = []
        self._opened_at = 0.0

    def __len__(self) -> int:
        """Count the records waiting."""
        return len(self._records)

    def add(self, records: Iterable[Record], now: float) -> None:
        """Append what was read at *now*."""
        if not self._records:
            self._opened_at = now
        self._records.extend(records)

    def waiting_since(self) -> float | None:
        """Tell when the oldest waiting record came, if one waits."""
        return self._opened_at if self._records else None

    def is_full(self) -> bool:
        """Tell whether no more should be read for now."""
        return len(self._records) >= self._size

    def is_due(self, now: float) -> bool:
        """Tell whether the next batch should be written at *now*."""
        return self.is_full() or (bool(self._records) and now - self._opened_at >= self._seconds)

    def take(self, now: float) -> Batch:
        """Close the batch: at most ``size`` records, the rest opens the next one."""
        batch = Batch(tuple(self._records[: self._size]), self._opened_at)
        self._records = self._records[self._size :]
        self._opened_at = now
        return batch

    def clear(self) -> None:
        """Forget what was read: it will be read again."""
        self._records.clear()
