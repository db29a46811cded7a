"""
The topic as a place where records can be seen; with `kafka` the importer of confluent_kafka.

Rules: looking leaves no trace (partitions are assigned, no group is joined, nothing is committed);
only committed records count; every call ends within its deadline, whatever the broker does.
confluent_kafka costs 80 ms of import and is imported when a client first connects.
"""

import functools
import threading
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pyarrow as pa

from k2chaos.clock import Clock, SystemClock
from k2chaos.errors import StageBlind, StageUnavailable
from k2chaos.evidence.freshness import Sighting
from k2chaos.pipeline import Record, Topic
from k2chaos.system.avro import Decoder
from k2chaos.system.registries import Registries
from k2chaos.system.tail import Span, Tail

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message

_EARLIEST: Final = -2
_LATEST: Final = -1
_BATCH: Final = 10_000
_EVENTS: Final = 64
"""How many to ask for when only the ends of partitions are awaited."""


@dataclass(frozen=True, slots=True)
class TopicRead:
    """
    What was read from the topic.

    Attributes:
        records: Schema `RECORDS`; in topic order within each partition, hence within each key.
        undecodable: How many values did not decode.
    """

    records: pa.Table
    undecodable: int


@functools.cache
def _kafka() -> Any:
    """The client library; 80 ms, paid when it is needed."""
    import confluent_kafka

    return confluent_kafka


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
        self.seconds = seconds
        self._decoder = Decoder(Registries.at(topic.registry, seconds), record)
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._consumer: Consumer | None = None
        self._trouble = ""
        self._tail = Tail(self._records)

    def end_offsets(self) -> dict[int, int]:
        """By partition, the offset that the next committed record will lie at or behind."""
        with self._lock, self._translating("end offsets"):
            return self._offsets(_LATEST)

    def read(self, since: Mapping[int, int], until: Mapping[int, int] | None = None) -> TopicRead:
        """
        Read all records from the offsets *since* to before *until* (now, where it is ``None``).

        A partition that *since* lacks is read from its first record: it is new.
        """
        with self._lock, self._translating("read"):
            ends = self._offsets(_LATEST) if until is None else until
            spans = {number: (since.get(number, 0), end) for number, end in ends.items()}
            records, undecodable = self._decoder.decode(self._values(spans))
            return TopicRead(records, undecodable)

    def newest(self, keys: Collection[str] = ()) -> dict[str, Sighting]:
        """
        The newest record of each key.

        The first look reads the partitions' tails backwards until it has seen all *keys*; later
        ones read what came since, keep the maximum, and go on in search of *keys* never seen.
        """
        with self._lock, self._translating("newest records"):
            firsts, ends = self._offsets(_EARLIEST), self._offsets(_LATEST)
            return self._tail.look(firsts, ends, keys)

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self._decoder.registries.close()
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def _records(self, spans: Mapping[int, Span]) -> pa.Table:
        return self._decoder.decode(self._values(spans))[0]

    def _values(self, spans: Mapping[int, Span]) -> Iterator[bytes | None]:
        """The values of *spans*, partition after partition."""
        opened = {number: span for number, span in spans.items() if span[0] < span[1]}
        values: dict[int, list[bytes | None]] = {number: [] for number in opened}
        consumer = self._connected()
        consumer.assign(
            [
                _kafka().TopicPartition(self.topic.name, one, start)
                for one, (start, _) in opened.items()
            ]
        )
        try:
            self._consume(consumer, opened, values)
        finally:
            consumer.unassign()
        return (value for one in sorted(values) for value in values[one])

    def _consume(
        self,
        consumer: "Consumer",
        spans: Mapping[int, Span],
        values: dict[int, list[bytes | None]],
    ) -> None:
        """Read until every partition has reached the end of its span."""
        ends = {number: end for number, (_, end) in spans.items()}
        patience = self._clock.monotonic() + self.seconds
        # librdkafka waits until it has as many as asked for: ask for no more than there can be.
        expected = sum(end - start for start, end in spans.values())
        while ends:
            count = min(_BATCH, expected if expected > 0 else _EVENTS)
            messages = consumer.consume(count, timeout=0.05)
            expected -= len(messages)
            for message in messages:
                self._take(message, ends, values)
            if messages:
                patience = self._clock.monotonic() + self.seconds
            elif self._clock.monotonic() > patience:
                where = ", ".join(str(one) for one in sorted(ends))
                said = f"{self}: nothing came for {self.seconds:g} s from partitions {where}"
                raise StageUnavailable(said, "timeout")

    def _take(
        self, message: "Message", ends: dict[int, int], values: dict[int, list[bytes | None]]
    ) -> None:
        """
        One message or one event of a partition.

        The end is reached by a record at or behind it, or by the broker's word that the partition
        ends there: the last offsets may be transaction markers, which are never delivered.
        """
        number, offset = message.partition(), message.offset()
        error = message.error()
        if error is not None and error.code() != _kafka().KafkaError._PARTITION_EOF:  # noqa: SLF001 - so named
            self._raise(error, f"reading partition {number}")
        if number is None or offset is None or number not in ends:
            return
        if error is None and offset < ends[number]:
            values[number].append(message.value())
        if offset >= ends[number] - (error is None):
            del ends[number]

    def _offsets(self, which: int) -> dict[int, int]:
        """The first or the next offset of every partition; one request to each broker."""
        consumer, name = self._connected(), self.topic.name
        found = consumer.list_topics(name, timeout=self.seconds).topics[name]
        if found.error is not None:
            self._raise(found.error, "asking for its partitions")
        asked = [_kafka().TopicPartition(name, number, which) for number in found.partitions]
        answers = consumer.offsets_for_times(asked, timeout=self.seconds)
        for answer in answers:
            if answer.error is not None:
                self._raise(answer.error, f"asking for offsets of partition {answer.partition}")
        return {answer.partition: answer.offset for answer in answers}

    def _connected(self) -> "Consumer":
        if self._consumer is None:
            options: dict[str, Any] = {**self.topic.options, **self._options()}
            self._consumer = _kafka().Consumer(options)
        return self._consumer

    def _options(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.topic.bootstrap,
            "client.id": "k2chaos",
            # Never joined: librdkafka wants a name before it lets anybody read.
            "group.id": f"k2chaos-{uuid.uuid4().hex}",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            # Reading from elsewhere than asked would be taken for loss.
            "auto.offset.reset": "error",
            # A look must not wait behind the long poll of the look before it.
            "fetch.wait.max.ms": 20,
            # The default backs off to 10 s and would be taken for the broker's.
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 250,
            "socket.connection.setup.timeout.ms": 2000,
            "log_level": 0,
            "error_cb": self._remember,
        }

    def _remember(self, error: "KafkaError") -> None:
        # That all brokers are down follows from what was said before, and says less. A cause is
        # reported once and not again while it lasts: it is kept until a look succeeds.
        if error.name() != "_ALL_BROKERS_DOWN":
            self._trouble = error.str()

    @contextmanager
    def _translating(self, what: str) -> Iterator[None]:
        """Turn librdkafka's exceptions into ours."""
        try:
            yield
            self._trouble = ""
        except _kafka().KafkaException as error:
            self._raise(error.args[0], what)

    def _raise(self, error: "KafkaError", what: str) -> NoReturn:
        if self._consumer is not None:
            self._consumer.poll(0)  # serves the error callback, which knows more
        name, said = error.name(), f"{error.str()} {self._trouble}".strip()
        message = f"{self}: {what}: {name}: {said}"
        if "AUTH" in name or "SSL" in name or "uthentication" in said:
            message += "; check topic.options (SASL, TLS) in the pipeline file"
            raise StageBlind(message, "credentials")
        if name == "_INVALID_ARG":
            message += "; check topic.options in the pipeline file"
            raise StageBlind(message, "options")
        if "OFFSET" in name:
            message += "; the offsets asked for are gone: retention, or the topic was made anew"
            raise StageBlind(message, "offsets gone")
        raise StageUnavailable(message, self._reason(name, said))

    def _reason(self, name: str, said: str) -> str:
        if "refused" in said:
            return "refused"
        if name == "_TRANSPORT":
            return "broken" if self._trouble else "timeout"
        return "timeout" if "TIMED_OUT" in name else name.strip("_").lower()

    def __str__(self) -> str:
        """The topic and its address, for messages."""
        return f"topic {self.topic.name} at {self.topic.bootstrap}"
