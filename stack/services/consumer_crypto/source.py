"""
Reading the topic.

Where reading starts is never Kafka's to say: at each assignment the owner of this object tells
the offsets (they come from the table), a partition without one starts at its beginning. Offsets
committed to the group are for those who watch lag. An offset the topic does not have (it was cut,
or made anew) is refused instead of being replaced by the earliest or the latest.

The group protocol is the eager one with a static member: a sink that comes back within the
session timeout gets its partitions at once, and there is one moment, not two, at which the
assignment changes.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from consumer_crypto.batch import Record
from consumer_crypto.errors import ExpelledError, TopicTruncatedError
from consumer_crypto.settings import Settings

_log = logging.getLogger(__name__)
_SECONDS_BETWEEN_REPEATS: Final = 10.0

_STATISTICS_MS: Final = 3000
_ASK_SECONDS: Final = 10.0
# Only with the bug on purpose: for so long the broker keeps the partitions of a dead sink for it.
_LONG_SESSION_MS: Final = 150_000
# librdkafka reports a fenced member with _FATAL while fatal() says no.
_EXPELLED: Final = frozenset(
    {KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID}  # noqa: SLF001 - its public spelling
)

Positions = Mapping[int, int]


class _Seldom(logging.Filter):
    """Lets each kind of librdkafka's complaints through once in a while."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._due: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        # While a broker is away it says so up to twenty times a second.
        kind = record.getMessage().partition(" ")[0]
        now = self._clock()
        if now < self._due.get(kind, now):
            return False
        self._due[kind] = now + _SECONDS_BETWEEN_REPEATS
        return True


class Source:
    """The topic, as the one member of the group that we are."""

    def __init__(
        self,
        settings: Settings,
        assigned: Callable[[frozenset[int]], Positions],
        revoked: Callable[[], None],
    ) -> None:
        """
        Prepare to read; `subscribe` starts.

        Args:
            settings: Where Kafka is and who we are.
            assigned: Called with the partitions that became ours; says where to start in them.
            revoked: Called when none are ours any longer.
        """
        self._topic = settings.topic
        self._bootstrap = settings.kafka_bootstrap
        self._assigned = assigned
        self._revoked = revoked
        self._failure: Exception | None = None
        self._owned: frozenset[int] = frozenset()
        self._starts: list[TopicPartition] | None = None
        self.broker_heard_at: float | None = None
        client_log = logging.getLogger(f"{__name__}.client")
        client_log.addFilter(_Seldom())
        self._consumer = Consumer(self._configuration(settings), logger=client_log)

    def _configuration(self, settings: Settings) -> dict[str, Any]:
        member: dict[str, Any] = {
            "group.instance.id": settings.group_instance_id,
            # A broker that was silent for longer has us join anew at once when it is back,
            # instead of leaving us in a group that it forgot.
            "session.timeout.ms": 20_000,
        }
        if "sink-dynamic-member" in settings.bugs:
            member = {"session.timeout.ms": _LONG_SESSION_MS}
        return {
            **member,
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": settings.group_id,
            "client.id": "consumer-crypto",
            "partition.assignment.strategy": "range",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "max.poll.interval.ms": 300_000,
            "socket.timeout.ms": 15_000,
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 1_000,
            "topic.metadata.refresh.interval.ms": 30_000,
            # There is one broker, and it keeps its address: with none to be reached librdkafka
            # forgets it otherwise, and was seen not to find it again.
            "metadata.recovery.strategy": "none",
            # One fetch in ten a second instead of one per record: a fraction of the CPU.
            "fetch.min.bytes": 100_000,
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 16_384,
            "log.connection.close": False,
            "statistics.interval.ms": _STATISTICS_MS,
            "stats_cb": self._on_statistics,
            "error_cb": self._on_error,
        }

    def subscribe(self) -> None:
        """Join the group."""
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )

    def read(self, most: int, seconds: float) -> list[Record]:
        """
        Read what comes within *seconds*, at most *most* records. Also keeps our place in the group.

        Raises:
            ExpelledError: Somebody joined under our name.
            TopicTruncatedError: The next record is not in the topic.
        """
        messages = self._consumer.consume(most, seconds)
        if self._failure is not None:
            raise self._failure
        if self._starts is not None:
            # The assignment changed during the call, so what it returned is from before.
            self._consumer.assign(self._starts)
            self._starts = None
            return []
        records = []
        for message in messages:
            if error := message.error():
                self._judge(error, message)
            else:
                records.append(_record(message))
        return records

    def pause(self) -> None:
        """Stop fetching; `read` goes on keeping our place in the group."""
        self._consumer.pause(self._partitions(self._owned))

    def resume(self) -> None:
        """Fetch again."""
        self._consumer.resume(self._partitions(self._owned))

    def publish(self, positions: Positions) -> None:
        """Tell Kafka the offsets, for lag monitors."""
        ours = {p: offset for p, offset in positions.items() if p in self._owned}
        if not ours:
            return
        offsets = [TopicPartition(self._topic, p, offset) for p, offset in ours.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            _log.info("could not tell Kafka the offsets: %s", error)

    def commit(self, positions: Positions) -> None:
        """Commit *positions* to the group, and wait until Kafka has them."""
        offsets = [TopicPartition(self._topic, p, offset) for p, offset in positions.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            _log.warning("could not commit the offsets: %s", error)

    def committed(self, partitions: Iterable[int]) -> dict[int, int]:
        """
        Ask Kafka for the group's offsets.

        Raises:
            KafkaException: It did not tell.
        """
        answers = self._consumer.committed(self._partitions(partitions), timeout=_ASK_SECONDS)
        return {one.partition: one.offset for one in answers if one.offset >= 0}

    def answers(self) -> bool:
        """Ask Kafka something, to see whether it is there; takes a second at most.

        With a client of its own: after a broker's restart ours was seen to open no connection for
        ten minutes, and would then have called Kafka silent.
        """
        options = {"bootstrap.servers": self._bootstrap, "client.id": "consumer-crypto-asks"}
        try:
            AdminClient({**options, "log_level": 0}).list_topics(self._topic, timeout=1.0)
        except KafkaException:
            return False
        return True

    def lag(self, positions: Positions) -> dict[int, int]:
        """Tell, per partition, how many records are not in the table, as far as Kafka told us."""
        lags = {}
        for partition in self._owned:
            low, high = self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), cached=True
            )
            if high >= 0:
                lags[partition] = max(0, high - max(positions.get(partition, 0), low, 0))
        return lags

    def close(self) -> None:
        """Leave. A static member keeps its place until the session times out."""
        self._consumer.close()

    def _partitions(self, numbers: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in sorted(numbers)]

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            owned = frozenset(partition.partition for partition in partitions)
            positions = self._assigned(owned)
            self._starts = [
                TopicPartition(self._topic, number, positions.get(number, OFFSET_BEGINNING))
                for number in sorted(owned)
            ]
            self._owned = owned
            # Nothing is fetched until read() says from where. Assigned here and once more there,
            # librdkafka may still hand out records of the first time before those of the second.
            consumer.assign([])
        except Exception as error:  # noqa: BLE001 - raised by read(); librdkafka is in between
            self._failure = error
            consumer.unassign()

    def _on_revoke(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._owned = frozenset()
        self._starts = []
        self._revoked()
        consumer.unassign()

    def _judge(self, error: KafkaError, message: Message) -> None:
        if error.fatal() or error.code() in _EXPELLED:
            text = f"expelled from the group: {error.str()}"
            raise ExpelledError(text)
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - its public spelling
            text = (
                f"partition {message.partition()} of {self._topic}: the record that comes next is "
                f"not there ({error.str()}); the topic was cut or made anew"
            )
            raise TopicTruncatedError(text)
        _log.warning("Kafka: %s", error.str())

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() in _EXPELLED:
            self._failure = ExpelledError(f"expelled from the group: {error.str()}")
        # Anything else is librdkafka's to retry, and it writes it to the log itself.

    def _on_statistics(self, text: str) -> None:
        brokers = json.loads(text)["brokers"].values()
        idle = [one["rxidle"] for one in brokers if one["state"] == "UP" and one["rxidle"] >= 0]
        if idle:
            self.broker_heard_at = time.monotonic() - min(idle) / 1e6


def _record(message: Message) -> Record:
    partition, offset = message.partition(), message.offset()
    if partition is None or offset is None:  # the stubs allow for it, librdkafka does not
        text = f"a record without coordinates: {partition}/{offset}"
        raise TypeError(text)
    return Record(partition, offset, message.key(), message.value())
