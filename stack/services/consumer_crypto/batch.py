"""
Collecting records into batches, and what a batch does to the offsets. Pure.

Rules of this file:

- A batch is due when its oldest record has waited ``seconds``, or when it is full: so many
  records, or so many bytes, whichever comes first. Below that it takes what is there.
- Within a partition offsets only rise. They may skip (transaction markers, compaction), never
  go back: a batch that starts below the expected offset would write records twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from consumer_crypto.errors import RewindError

# What a batch holds of keys and values at most. Decoded it is several times as much, and twice
# that is in memory (one batch collected, one written), of the 768 MB the lab's sink has.
BATCH_BYTES: Final = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record as it came, with its coordinates."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.key or b"") + len(self.value or b"")


def next_offsets(records: Iterable[Record]) -> dict[int, int]:
    """Tell, per partition, the offset to be read after *records*."""
    ends: dict[int, int] = {}
    for record in records:
        ends[record.partition] = max(ends.get(record.partition, 0), record.offset + 1)
    return ends


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that go into the table in one commit. ``id`` tells this attempt from any other."""

    records: tuple[Record, ...]
    opened_at: float
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def next_offsets(self) -> dict[int, int]:
        """Tell, per partition, the offset to be read after this batch."""
        return next_offsets(self.records)

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

    def __init__(self, seconds: float, size: int, most_bytes: int = BATCH_BYTES) -> None:
        """Close batches after *seconds*, at *size* records or at *most_bytes*."""
        self._seconds = seconds
        self._size = size
        self._most_bytes = most_bytes
        self._records: list[Record] = []
        self._bytes = 0
        self._opened_at = 0.0

    def __len__(self) -> int:
        """Count the records waiting."""
        return len(self._records)

    def add(self, records: Iterable[Record], now: float) -> None:
        """Append what was read at *now*."""
        if not self._records:
            self._opened_at = now
        for record in records:
            self._records.append(record)
            self._bytes += record.size

    def waiting_since(self) -> float | None:
        """Tell when the oldest waiting record came, if one waits."""
        return self._opened_at if self._records else None

    def is_full(self) -> bool:
        """Tell whether no more should be read for now."""
        return len(self._records) >= self._size or self._bytes >= self._most_bytes

    def is_due(self, now: float) -> bool:
        """Tell whether the next batch should be written at *now*."""
        return self.is_full() or (bool(self._records) and now - self._opened_at >= self._seconds)

    def take(self, now: float) -> Batch:
        """Close the batch as large as it may be; the rest opens the next one."""
        count = self._fitting()
        batch = Batch(tuple(self._records[:count]), self._opened_at)
        del self._records[:count]
        self._bytes -= sum(record.size for record in batch.records)
        self._opened_at = now
        return batch

    def _fitting(self) -> int:
        """Count the records that go into one batch: one at least, however large it is."""
        total = 0
        for count, record in enumerate(self._records[: self._size]):
            total += record.size
            if total > self._most_bytes:
                return max(1, count)
        return min(len(self._records), self._size)

    def clear(self) -> None:
        """Forget what was read: it will be read again."""
        self._records.clear()
        self._bytes = 0
