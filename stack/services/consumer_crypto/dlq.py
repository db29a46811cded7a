"""
The dead letter topic: where undecodable records go, whole, with the reason and where they were.

A letter is written, and acknowledged by all replicas, before the offsets that pass its record
are committed. A sink that dies in between writes the letter again: the headers ``topic``,
``partition`` and ``offset`` tell that both are the same record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, Message, Producer

from consumer_crypto.batch import Record

_DELIVERY_SECONDS: Final = 20


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
        return [
            ("reason", self.reason.encode()),
            ("detail", self.text.encode()),
            ("topic", topic.encode()),
            ("partition", str(self.record.partition).encode()),
            ("offset", str(self.record.offset).encode()),
        ]


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
        """
        if not letters:
            return
        failures: list[str] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(str(error))

        producer = self._producer()
        for letter in letters:
            producer.produce(
                self._topic,
                key=letter.record.key,
                value=letter.record.value,
                headers=letter.headers(self._source_topic),
                on_delivery=delivered,
            )
            producer.poll(0)
        left = producer.flush(_DELIVERY_SECONDS + 5)
        if left or failures:
            message = f"{left + len(failures)} letters not acknowledged: {failures[:1]}"
            raise DeadLetterError(message)

    def _producer(self) -> Producer:
        # Most sinks never send a letter: the broker is spared a connection until the first.
        if self._made is None:
            self._made = Producer(
                {
                    "bootstrap.servers": self._bootstrap,
                    "client.id": "consumer-crypto-dlq",
                    "acks": "all",
                    "enable.idempotence": True,
                    "delivery.timeout.ms": _DELIVERY_SECONDS * 1000,
                    "socket.timeout.ms": 10_000,
                }
            )
        return self._made
