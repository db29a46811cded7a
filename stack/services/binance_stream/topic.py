"""Writing trades to the topic: in order, each once, and knowing what was acknowledged.

Rules:
- The producer is idempotent with acks=all, and its records never time out. A record that did
  would leave a hole in front of its successors, for which librdkafka's gapless guarantee
  explicitly does not answer. However long Kafka is away, the queue simply waits.
- The queue is bounded: `room` waits while it is full, so the socket is not read meanwhile.
- A producer that hears nothing for long while Kafka answers others is stranded and ends, too:
  after a broker's restart librdkafka was seen to open no connection for ten minutes.
- A delivery that fails all the same (refused record, lost authorisation, fenced producer) ends
  this writer for good: everything still queued is purged, and the caller begins anew by
  reading the topic's tail. With `enable.gapless.guarantee` librdkafka sends nothing after it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from binance_stream.seldom import Seldom

log = logging.getLogger(__name__)

_FULL = 10_000
_ROOMY = 5_000
_QUEUE = 2 * _FULL
_POLL_SECONDS = 0.02
_DESTROY_SECONDS = 1.0

# Acknowledgements take milliseconds, on a starved broker seconds. What is stranded is helped by a
# new producer only while Kafka answers: seen three times in a row, a few seconds apart.
_PATIENCE_SECONDS = 15.0
_ASKS_PER_PATIENCE = 5
_ANSWERS = 3
_ANSWER_SECONDS = 1.0

# Only with the bug on purpose: what most who never heard of it run. Retries are on by default.
_NOT_IDEMPOTENT = {"enable.idempotence": False, "enable.gapless.guarantee": False}

Acknowledged = Callable[[str, int], None]


class DeliveryFailedError(Exception):
    """A record did not reach the topic and never will through this writer."""


class TopicWriter:
    """An ordered, bounded stream of records into one topic."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        acknowledged: Acknowledged,
        patience: float = _PATIENCE_SECONDS,
        answers: Callable[[], bool] | None = None,
        bugs: frozenset[str] = frozenset(),
    ) -> None:
        """Write to *topic*; *acknowledged* hears (symbol, event time in ms) of each record.

        After *patience* seconds without an acknowledgement Kafka is asked whether it *answers*.
        """
        self._topic = topic
        self._patience = patience
        self._answers = answers or partial(_kafka_answers, bootstrap, topic)
        self._progress_at = time.monotonic()
        self._ask_at = 0.0
        self._answered = 0
        self._acknowledged = acknowledged
        self._failure: str | None = None
        self._seldom = Seldom(log)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                # There is one broker, and it keeps its address: with none to be reached librdkafka
                # forgets it otherwise, and was seen not to find it again.
                "metadata.recovery.strategy": "none",
                "client.id": "binance-stream",
                "enable.idempotence": True,
                "enable.gapless.guarantee": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "linger.ms": 10,
                "compression.type": "lz4",
                "delivery.timeout.ms": 0,
                "queue.buffering.max.messages": _QUEUE,
                "request.timeout.ms": 10_000,
                "socket.timeout.ms": 15_000,
                "socket.keepalive.enable": True,
                "socket.connection.setup.timeout.ms": 5_000,
                "reconnect.backoff.ms": 100,
                "reconnect.backoff.max.ms": 1_000,
                "retry.backoff.ms": 100,
                "retry.backoff.max.ms": 1_000,
                "error_cb": self._on_error,
                **(_NOT_IDEMPOTENT if "source-not-idempotent" in bugs else {}),
            }
        )

    @property
    def queued(self) -> int:
        """How many records are not acknowledged yet."""
        return len(self._producer)

    def write(self, symbol: str, value: bytes, event_ms: int) -> None:
        """Queue one record; call `room` first.

        Raises:
            DeliveryFailedError: This writer has ended.
        """
        self.check()
        try:
            self._producer.produce(
                self._topic,
                key=symbol.encode(),
                value=value,
                on_delivery=partial(self._on_delivery, symbol, event_ms),
            )
        except (BufferError, KafkaException) as error:
            self._failure = f"not queued: {error}"
            raise DeliveryFailedError(self._failure) from error

    @property
    def full(self) -> bool:
        """Whether `room` would wait."""
        return len(self._producer) >= _FULL

    async def room(self) -> None:
        """Wait until the queue is well below full.

        Raises:
            DeliveryFailedError: This writer has ended.
        """
        self._seldom.say(logging.WARNING, "full", f"{self.queued} wait for Kafka: reading pauses")
        while len(self._producer) > _ROOMY:
            await asyncio.sleep(_POLL_SECONDS)
            self.check()
        self._seldom.say(logging.INFO, "roomy", "reading goes on")

    async def serve(self) -> None:
        """Hear the acknowledgements until cancelled.

        Raises:
            DeliveryFailedError: This writer has ended.
        """
        while True:
            self._poll(0.0)
            self.check()
            await self._check_stranded(time.monotonic())
            await asyncio.sleep(_POLL_SECONDS)

    async def _check_stranded(self, now: float) -> None:
        """End this writer if Kafka answers others, again and again, and never acknowledges."""
        if not self.queued:
            self._progress_at = now
        age = now - self._progress_at
        if age <= self._patience:
            self._answered = 0
        elif now >= self._ask_at:
            self._ask_at = now + self._patience / _ASKS_PER_PATIENCE
            self._answered = self._answered + 1 if await asyncio.to_thread(self._answers) else 0
        if self._answered >= _ANSWERS:
            self._failure = f"Kafka answers, but has acknowledged nothing for {age:.0f} s"

    def check(self) -> None:
        """Raise `DeliveryFailedError` if this writer has ended."""
        if self._failure is not None:
            raise DeliveryFailedError(self._failure)

    async def drain(self, seconds: float) -> int:
        """Wait up to *seconds* for the queue to empty; return how many records are left."""
        deadline = time.monotonic() + seconds
        while self._failure is None and self.queued and time.monotonic() < deadline:
            self._poll(0.0)
            await asyncio.sleep(_POLL_SECONDS)
        return self.queued

    def abandon(self) -> None:
        """Drop whatever is still queued or on its way; blocks for a moment."""
        self._failure = self._failure or "abandoned"
        self._producer.purge(in_queue=True, in_flight=True, blocking=True)
        deadline = time.monotonic() + _DESTROY_SECONDS
        while self.queued and time.monotonic() < deadline:
            self._poll(0.1)

    def _poll(self, seconds: float) -> None:
        """Hear acknowledgements and errors; a failure is remembered, never raised.

        The client raises fatal errors out of whatever call it serves callbacks in, and calls
        the remaining callbacks with that exception pending, which becomes a SystemError.
        """
        try:
            self._producer.poll(seconds)
        except (KafkaException, SystemError) as error:
            if self._failure is None:
                self._failure = str(error)
                log.error("kafka: %s", error)

    def _on_delivery(
        self, symbol: str, event_ms: int, error: KafkaError | None, _: Message
    ) -> None:
        if error is None:
            self._progress_at = time.monotonic()
            self._acknowledged(symbol, event_ms)
        elif self._failure is None:
            self._failure = f"{error.name()}: {error.str()}"
            log.error("a record of %s was not delivered: %s", symbol, self._failure)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:  # noqa: SLF001 - its public name
            self._failure = self._failure or f"{error.name()}: {error.str()}"
        self._seldom.say(logging.WARNING, error.name(), f"kafka: {error.name()} {error.str()}")


def _kafka_answers(bootstrap: str, topic: str) -> bool:
    """Ask Kafka something with a client of its own; takes a second at most."""
    options = {"bootstrap.servers": bootstrap, "client.id": "binance-stream-asks"}
    try:
        AdminClient({**options, "log_level": 0}).list_topics(topic, timeout=_ANSWER_SECONDS)
    except KafkaException:
        return False
    return True
