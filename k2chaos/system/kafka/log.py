"""
One topic as a log that is read and not touched.

Rules: reading leaves no trace (partitions are assigned, no group is joined, nothing is committed);
only committed records count; every call ends within its deadline, whatever the broker does.
"""

import functools
import itertools
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from k2chaos.clock import Clock
from k2chaos.errors import StageBlind, StageUnavailable
from k2chaos.pipeline import Topic
from k2chaos.system.tail import Span

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message

_EARLIEST: Final = -2
_LATEST: Final = -1
BATCH: Final = 10_000
"""How many records are asked for at once."""

_EVENTS: Final = 64
"""How many to ask for when only the ends of partitions are awaited."""

_REQUESTS: Final = 3
_CLIENT: Final[Mapping[str, Any]] = {
    "client.id": "k2chaos",
    # The default backs off to 10 s and would be taken for the broker's.
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 250,
    "socket.connection.setup.timeout.ms": 2000,
    "log_level": 0,
}


class Entry(NamedTuple):
    """One record as it lies in the log; ``headers`` in their order, with repetitions."""

    partition: int
    offset: int
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    def header(self, name: str) -> str:
        """The first header of that name as text; empty where there is none."""
        values = (value for one, value in self.headers if one == name and value is not None)
        return next(values, b"").decode(errors="replace")


@functools.cache
def _kafka() -> Any:
    """The client library; 80 ms, paid when it is needed."""
    import confluent_kafka
    import confluent_kafka.admin

    return confluent_kafka


def reading_options(topic: Topic) -> dict[str, Any]:
    """Librdkafka's options of who reads and leaves no trace: those of the file, then ours."""
    return {
        **topic.options,
        "bootstrap.servers": topic.bootstrap,
        "client.id": "k2chaos",
        # Never joined: librdkafka wants a name before it lets anybody read.
        "group.id": f"k2chaos-{uuid.uuid4().hex}",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        # Reading from elsewhere than asked would be taken for loss.
        "auto.offset.reset": "error",
        # The default backs off to 10 s and would be taken for the broker's.
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 250,
        "socket.connection.setup.timeout.ms": 2000,
        "log_level": 0,
    }


class Log:
    """
    Reads the topic called *name*. One call at a time.

    Args:
        topic: Where it is, with librdkafka's options for SASL and TLS.
        seconds: How long the broker may take for one answer; reading goes on for as long as
            something comes at least so often.
        clock: What limits are measured with.
    """

    def __init__(self, topic: Topic, name: str, seconds: float, clock: Clock) -> None:
        """Connect to nothing yet."""
        self.topic = topic
        self.name = name
        self.seconds = seconds
        self._clock = clock
        self._consumer: Consumer | None = None
        self._trouble = ""

    def first_offsets(self) -> dict[int, int]:
        """By partition, the offset of its first record."""
        return self._offsets(_EARLIEST)

    def end_offsets(self) -> dict[int, int]:
        """By partition, the offset that the next committed record will lie at or behind."""
        return self._offsets(_LATEST)

    def offsets_at(self, milliseconds: int) -> dict[int, int]:
        """By partition, the offset of its first record of that Unix time or later, else its end."""
        ends = self.end_offsets()
        found = self._offsets(milliseconds)
        return {one: offset if offset >= 0 else ends[one] for one, offset in found.items()}

    def committed(self, partitions: Mapping[int, int]) -> dict[int, int]:
        """By partition, the offset that the sink's group committed; one that it never did lacks."""
        kafka = _kafka()
        wanted = [kafka.TopicPartition(self.name, number) for number in partitions]
        asked = kafka.ConsumerGroupTopicPartitions(self.topic.group, wanted)
        options = {**self.topic.options, **_CLIENT, "bootstrap.servers": self.topic.bootstrap}
        admin = kafka.admin.AdminClient(options)
        # The coordinator has to be found first, so an answer may take several requests.
        seconds = self.seconds * _REQUESTS
        (future,) = admin.list_consumer_group_offsets([asked], request_timeout=seconds).values()
        found = future.result().topic_partitions
        return {one.partition: one.offset for one in found if one.offset >= 0}

    def entries(self, spans: Mapping[int, Span]) -> list[Entry]:
        """The records of *spans*, partition after partition."""
        found = itertools.chain.from_iterable(self.batches(spans))
        return sorted(found, key=lambda entry: entry.partition)

    def batches(self, spans: Mapping[int, Span]) -> Iterator[list[Entry]]:
        """
        The records of *spans* as they come, in their order within each partition.

        At most `BATCH` at once: however many there are, few are in memory.
        """
        opened = {number: span for number, span in spans.items() if span[0] < span[1]}
        consumer = self._connected()
        consumer.assign(
            [_kafka().TopicPartition(self.name, one, start) for one, (start, _) in opened.items()]
        )
        try:
            yield from self._consume(consumer, opened)
        finally:
            if self._consumer is consumer:
                consumer.unassign()

    def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _consume(self, consumer: "Consumer", spans: Mapping[int, Span]) -> Iterator[list[Entry]]:
        """Read until every partition has reached the end of its span."""
        ends = {number: end for number, (_, end) in spans.items()}
        patience = self._clock.monotonic() + self.seconds
        # librdkafka waits until it has as many as asked for: ask for no more than there can be.
        expected = sum(end - start for start, end in spans.values())
        while ends:
            count = min(BATCH, expected if expected > 0 else _EVENTS)
            messages = consumer.consume(count, timeout=0.05)
            expected -= len(messages)
            taken = (self._taken(message, ends) for message in messages)
            if batch := [entry for entry in taken if entry is not None]:
                yield batch
            if messages:
                patience = self._clock.monotonic() + self.seconds
            elif self._clock.monotonic() > patience:
                where = ", ".join(str(one) for one in sorted(ends))
                said = f"{self}: nothing came for {self.seconds:g} s from partitions {where}"
                self.close()
                raise StageUnavailable(said, "timeout")

    def _taken(self, message: "Message", ends: dict[int, int]) -> Entry | None:
        """
        One message or one event of a partition; an entry, where it is one of the span.

        The end is reached by a record at or behind it, or by the broker's word that the partition
        ends there: the last offsets may be transaction markers, which are never delivered.
        """
        number, offset = message.partition(), message.offset()
        error = message.error()
        if error is not None and error.code() != _kafka().KafkaError._PARTITION_EOF:  # noqa: SLF001 - so named
            self._raise(error, f"reading partition {number}")
        if number is None or offset is None or number not in ends:
            return None
        is_ours = error is None and offset < ends[number]
        if offset >= ends[number] - (error is None):
            del ends[number]
        if not is_ours:
            return None
        headers: Any = message.headers() or ()
        return Entry(number, offset, message.value(), tuple(headers))

    def _offsets(self, which: int) -> dict[int, int]:
        """The first, the next, or the offset of a time, of every partition; a request a broker."""
        consumer = self._connected()
        known = consumer.list_topics(self.name, timeout=self.seconds).topics[self.name]
        if known.error is not None:
            self._raise(known.error, "asking for its partitions")
        asked = [_kafka().TopicPartition(self.name, number, which) for number in known.partitions]
        answers = consumer.offsets_for_times(asked, timeout=self.seconds)
        for answer in answers:
            if answer.error is not None:
                self._raise(answer.error, f"asking for offsets of partition {answer.partition}")
        return {answer.partition: answer.offset for answer in answers}

    def _connected(self) -> "Consumer":
        if self._consumer is None:
            self._consumer = _kafka().Consumer(self._options())
        return self._consumer

    def _options(self) -> dict[str, Any]:
        return {
            **reading_options(self.topic),
            "enable.partition.eof": True,
            # A look must not wait behind the long poll of the look before it.
            "fetch.wait.max.ms": 20,
            "error_cb": self._remember,
        }

    def _remember(self, error: "KafkaError") -> None:
        # That all brokers are down follows from what was said before, and says less. A cause is
        # reported once and not again while it lasts: it is kept until a look succeeds.
        if error.name() != "_ALL_BROKERS_DOWN":
            self._trouble = error.str()

    @contextmanager
    def translating(self, what: str) -> Iterator[None]:
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
        reason = self._reason(name, said)
        if reason == "timeout":
            # A broker that was frozen may leave a client behind that asks for ever in vain.
            self.close()
        raise StageUnavailable(message, reason)

    def _reason(self, name: str, said: str) -> str:
        if "refused" in said:
            return "refused"
        if name == "_TRANSPORT":
            return "broken" if self._trouble else "timeout"
        return "timeout" if "TIMED_OUT" in name else name.strip("_").lower()

    def __str__(self) -> str:
        """The topic and its address, for messages."""
        return f"topic {self.name} at {self.topic.bootstrap}"
