"""
A topic whose records are pushed: librdkafka fetches them by itself as they are written, and whoever
follows takes what has come.

Cheaper and sooner than asking for each span; reads as little a trace as `log`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from k2chaos.pipeline import Topic
from k2chaos.system.kafka.log import reading_options

if TYPE_CHECKING:
    from confluent_kafka import Consumer

_BATCH: Final = 10_000
_OPTIONS: Final[Mapping[str, Any]] = {
    # 40 partitions at 2,000 records/s for 1.6 % of a core, 0.15 s after they were written (the
    # defaults fall behind): the broker answers ten times a second with all that came.
    "fetch.wait.max.ms": 100,
    "fetch.min.bytes": 1_000_000,
    # A connection that nobody answers on any more (the default waits a minute) is given up.
    "socket.timeout.ms": 3000,
}


class Follower:
    """
    Follows *topic* from given offsets on. One call at a time.

    Attributes:
        positions: By partition that is followed, the offset behind what has come.
        is_broken: Whether something was refused, so that records may not come any more: the offsets
            are gone, or the topic is.
    """

    def __init__(self, topic: Topic, since: Mapping[int, int]) -> None:
        """Begin at the offsets *since*; returns at once, connected or not."""
        import confluent_kafka

        self.positions = dict(since)
        self.is_broken = False
        self._consumer: Consumer = confluent_kafka.Consumer({**reading_options(topic), **_OPTIONS})
        self._consumer.assign(
            [confluent_kafka.TopicPartition(topic.name, *one) for one in since.items()]
        )

    def taken(self, seconds: float) -> list[bytes | None]:
        """The values that have come since; waits at most so long where none has."""
        values: list[bytes | None] = []
        messages = self._consumer.consume(1, timeout=seconds)
        while messages:
            for message in messages:
                partition, offset = message.partition(), message.offset()
                if message.error() is not None or partition is None or offset is None:
                    self.is_broken = True
                    continue
                values.append(message.value())
                self.positions[partition] = offset + 1
            messages = self._consumer.consume(_BATCH, timeout=0)
        return values

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
