"""
The topic as a place where records can be seen.

What is read is what lies there: records, values that are none, letters in the dead-letter topic,
and how far the sink's group says it has come.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from k2chaos.clock import Clock, SystemClock
from k2chaos.errors import StageUnavailable
from k2chaos.evidence.freshness import Sighting
from k2chaos.evidence.records import LETTERS, MALFORMED
from k2chaos.pipeline import Record, Topic
from k2chaos.system.avro import Decoder
from k2chaos.system.kafka import TAG_HEADER
from k2chaos.system.kafka.log import Entry, Log
from k2chaos.system.registries import Registries
from k2chaos.system.tail import Span, Tail

_NOT_THERE: Final = "unknown_topic"
_PLACE: Final = [("partition", "ascending"), ("offset", "ascending")]


@dataclass(frozen=True, slots=True)
class TopicRead:
    """
    What was read from the topic.

    Attributes:
        records: Schema `RECORDS` with ``partition`` and ``offset``; partition after partition, in
            topic order within each, hence within each key.
        malformed: Schema `MALFORMED`: the values that did not decode.
    """

    records: pa.Table
    malformed: pa.Table


class TopicClient:
    """
    Looks at one topic. Safe to use from several threads, one look at a time.

    Args:
        topic: Where it is, with librdkafka's options for SASL and TLS.
        record: What identifies a record.
        seconds: How long the broker may take for one answer; reading goes on for as long as
            something comes at least so often.
        clock: What limits are measured with.
    """

    def __init__(
        self, topic: Topic, record: Record, seconds: float = 5.0, clock: Clock | None = None
    ) -> None:
        """Connect to nothing yet."""
        self.topic = topic
        self._decoder = Decoder(Registries.at(topic.registry, seconds), record)
        self._lock = threading.RLock()
        clock = clock or SystemClock()
        self._log = Log(topic, topic.name, seconds, clock)
        self._letters = Log(topic, topic.dlq, seconds, clock)
        self._tail = Tail(self._records)

    def end_offsets(self) -> dict[int, int]:
        """By partition, the offset that the next committed record will lie at or behind."""
        with self._lock, self._log.translating("end offsets"):
            return self._log.end_offsets()

    def offsets_at(self, milliseconds: int) -> dict[int, int]:
        """By partition, the offset of the first record written at that time (Unix) or later."""
        with self._lock, self._log.translating("offsets by time"):
            return self._log.offsets_at(milliseconds)

    def committed(self) -> dict[int, int]:
        """By partition, the offset that the sink's group committed."""
        with self._lock, self._log.translating("committed offsets"):
            return self._log.committed(self._log.end_offsets())

    def read(self, since: Mapping[int, int], until: Mapping[int, int] | None = None) -> TopicRead:
        """
        Read all records from the offsets *since* to before *until* (now, where it is ``None``).

        A partition that *since* lacks is read from its first record: it is new.
        """
        with self._lock, self._log.translating("read"):
            ends = self._log.end_offsets() if until is None else until
            spans = {number: (since.get(number, 0), end) for number, end in ends.items()}
            # Batch by batch: as columns they take a fraction of what they take as objects.
            reads = [self._decoded(batch) for batch in self._log.batches(spans)]
        reads = reads or [self._decoded([])]
        records, malformed = zip(*((one.records, one.malformed) for one in reads), strict=True)
        # Which partition the broker answers for first is chance, and no order to keep.
        return TopicRead(
            pa.concat_tables(records).sort_by(_PLACE), pa.concat_tables(malformed).sort_by(_PLACE)
        )

    def _decoded(self, entries: Sequence[Entry]) -> TopicRead:
        decoded = self._decoder.decode(
            [one.value for one in entries],
            partition=[one.partition for one in entries],
            offset=[one.offset for one in entries],
        )
        bad = [(entries[row], reason) for row, reason in decoded.failures]
        return TopicRead(decoded.records, _malformed(bad))

    def letter_offsets(self) -> dict[int, int]:
        """By partition, the end of the dead-letter topic; empty while nobody made it."""
        return self._of_letters(self._letters.end_offsets)

    def letter_offsets_at(self, milliseconds: int) -> dict[int, int]:
        """The same at that Unix time."""
        return self._of_letters(lambda: self._letters.offsets_at(milliseconds))

    def _of_letters(self, ask: Callable[[], dict[int, int]]) -> dict[int, int]:
        with self._lock:
            try:
                with self._letters.translating("offsets"):
                    return ask()
            except StageUnavailable as error:
                if not error.reason.startswith(_NOT_THERE):
                    raise
                return {}

    def read_letters(self, since: Mapping[int, int]) -> pa.Table:
        """
        The letters (schema `LETTERS`) that came to the dead-letter topic from *since* on.

        A letter's value is decoded like any other: where it holds a record, that is told.
        """
        ends = self.letter_offsets()
        with self._lock, self._letters.translating("read"):
            spans = {number: (since.get(number, 0), end) for number, end in ends.items()}
            entries = self._letters.entries(spans)
            decoded = self._decoder.decode(
                [one.value for one in entries], row=list(range(len(entries)))
            )
        known = {row["row"]: row for row in decoded.records.to_pylist()}
        rows = [{**_letter(entry), **_who(known.get(row))} for row, entry in enumerate(entries)]
        return pa.Table.from_pylist(rows, schema=LETTERS)

    def newest(self, keys: Collection[str] = ()) -> dict[str, Sighting]:
        """
        The newest record of each key.

        The first look reads the partitions' tails backwards until it has seen all *keys*; later
        ones read what came since, keep the maximum, and go on in search of *keys* never seen.
        """
        with self._lock, self._log.translating("newest records"):
            firsts, ends = self._log.first_offsets(), self._log.end_offsets()
            return self._tail.look(firsts, ends, keys)

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self._decoder.registries.close()
            self._log.close()
            self._letters.close()

    def _records(self, spans: Mapping[int, Span]) -> pa.Table:
        return self._decoder.decode([one.value for one in self._log.entries(spans)]).records


def _malformed(bad: list[tuple[Entry, str]]) -> pa.Table:
    columns = {
        "partition": [one.partition for one, _ in bad],
        "offset": [one.offset for one, _ in bad],
        "reason": [reason for _, reason in bad],
        "tag": [one.header(TAG_HEADER) or None for one, _ in bad],
    }
    return pa.table(columns, schema=MALFORMED)


def _letter(entry: Entry) -> dict[str, object]:
    """Where the letter's record lies, and what is wrong with it, by the letter's headers."""
    partition, offset = entry.header("partition"), entry.header("offset")
    return {
        "partition": int(partition) if partition.isdecimal() else None,
        "offset": int(offset) if offset.isdecimal() else None,
        "reason": entry.header("reason") or None,
    }


def _who(record: Mapping[str, object] | None) -> dict[str, object]:
    return {name: record[name] if record else None for name in ("key", "sequence", "event_time")}
