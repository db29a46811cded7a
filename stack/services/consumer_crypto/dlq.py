"""
The dead letter topic: where undecodable records go, with the reason and where they were.

They go whole, unless that would make the letter larger than a topic takes: then key and value are
cut, the headers ``cut-key`` or ``cut-value`` tell how long they were, and the whole record stays in
its topic, where the other headers say. A letter that nobody can deliver would stop the sink for
good.

A letter is written, and acknowledged by all replicas, before the offsets that pass its record
are committed. A sink that dies in between writes the letter again: the headers ``topic``,
``partition`` and ``offset`` tell that both are the same record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumer_crypto.batch import Record

# One call takes 25 s at most: a letter that is not acknowledged by then counts as failed, and is
# sent again.
_DELIVERY_SECONDS: Final = 20
_FLUSH_SECONDS: Final = _DELIVERY_SECONDS + 5

# A topic takes 1,048,588 bytes a record unless told otherwise, and librdkafka sends 1,000,000.
LONGEST_VALUE: Final = 900_000
_LONGEST_KEY: Final = 50_000
_LONGEST_TEXT: Final = 1_000


class DeadLetterError(Exception):
    """Letters could not be delivered; worth sending again."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One undecodable record and what is wrong with it."""

    record: Record
    reason: str
    text: str

    def headers(self, topic: str) -> list[tuple[str, str | bytes | None]]:
        """Say why, and where the record was read."""
        headers: list[tuple[str, str | bytes | None]] = [
            ("reason", self.reason.encode()),
            ("detail", self.text[:_LONGEST_TEXT].encode(errors="replace")),
            ("topic", topic.encode()),
            ("partition", str(self.record.partition).encode()),
            ("offset", str(self.record.offset).encode()),
        ]
        whole = (
            ("cut-key", self.record.key, self.key),
            ("cut-value", self.record.value, self.value),
        )
        headers += [
            (name, str(len(all_ or b"")).encode()) for name, all_, sent in whole if sent != all_
        ]
        return headers

    @property
    def key(self) -> bytes | None:
        """The record's key, or its beginning."""
        return self.record.key and self.record.key[:_LONGEST_KEY]

    @property
    def value(self) -> bytes | None:
        """The record's value, or its beginning."""
        return self.record.value and self.record.value[:LONGEST_VALUE]


class DeadLetters:
    """Writes letters to the dead letter topic."""

    def __init__(self, bootstrap: str, source_topic: str, topic: str) -> None:
        """Send to *topic* what came from *source_topic*. Connects at the first letter."""
        self._bootstrap = bootstrap
        self._source_topic = source_topic
        self._topic = topic
        self._made: Producer | None = None

    def send(self, letters: Sequence[Letter]) -> None:
        """
        Deliver *letters*, all of them.

        Raises:
            DeadLetterError: Some were not acknowledged in time; they may have arrived.
            KafkaException: The client refuses.
        """
        if not letters:
            return
        try:
            self._deliver(letters)
        except (DeadLetterError, KafkaException, BufferError):
            # Some errors are a producer's last (its id expired, the topic was made anew).
            self._forget()
            raise

    def _deliver(self, letters: Sequence[Letter]) -> None:
        failures: list[str] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(str(error))

        producer = self._producer()
        for letter in letters:
            producer.produce(
                self._topic,
                key=letter.key,
                value=letter.value,
                headers=letter.headers(self._source_topic),
                on_delivery=delivered,
            )
            producer.poll(0)
        left = producer.flush(_FLUSH_SECONDS)
        if left or failures:
            message = f"{left + len(failures)} letters not acknowledged: {failures[:1]}"
            raise DeadLetterError(message)

    def _forget(self) -> None:
        made, self._made = self._made, None
        if made is not None:
            # Or its end would wait for what it still holds.
            made.purge()

    def _producer(self) -> Producer:
        # Most sinks never send a letter: the broker is spared a connection until the first.
        if self._made is None:
            self._made = Producer(
                {
                    "bootstrap.servers": self._bootstrap,
                    "metadata.recovery.strategy": "none",
                    "client.id": "consumer-crypto-dlq",
                    "acks": "all",
                    "enable.idempotence": True,
                    "delivery.timeout.ms": _DELIVERY_SECONDS * 1000,
                    "socket.timeout.ms": 10_000,
                }
            )
        return self._made
