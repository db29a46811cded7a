"""The last trade id of each symbol, read back from the topic itself.

The topic is the only truth about what was written: after a kill, an unknown number of records
of the dead process may be in it. Each partition is read backwards, in windows that double,
until every symbol that lives there is found or the partition's start is reached. The largest
id of a window counts, so a foreign copy of an old record at the very end misleads nobody.

A dead writer's last request may still wait in a broker that was frozen. Therefore nothing is
read before the partitions' ends have stood still for a moment.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from binance_stream.partitioner import partition_of

log = logging.getLogger(__name__)

_FIRST_WINDOW = 2_000
_REQUEST_SECONDS = 5.0
_SETTLE_SECONDS = 0.3
_SETTLE_ROUNDS = 20
_PROMPT_SECONDS = 1.0
_STUCK_SECONDS = 15.0

Decode = Callable[[bytes | None], int | None]


class TailUnreadableError(Exception):
    """The topic's tail could not be read; nothing may be written before it was."""


@dataclass(frozen=True, slots=True)
class Window:
    """Offsets *start* to *end* (exclusive) of a partition that begins at *low*."""

    partition: int
    low: int
    start: int
    end: int

    def earlier(self) -> "Window":
        """Return the window before this one, twice as long."""
        length = 2 * (self.end - self.start)
        return replace(self, start=max(self.low, self.start - length), end=self.start)


class Tail:
    """One reading of a topic's tail; blocking, so it belongs in a thread."""

    def __init__(
        self, bootstrap: str, topic: str, decode: Decode, cancelled: threading.Event
    ) -> None:
        """Prepare to read *topic*; *decode* gives a record's trade id."""
        self._topic = topic
        self._decode = decode
        self._cancelled = cancelled
        self._undecodable = 0
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "metadata.recovery.strategy": "none",
                "client.id": "binance-stream-tail",
                # Required by the client; this consumer joins no group and commits nothing.
                "group.id": "binance-stream-tail",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "socket.timeout.ms": 10_000,
                "reconnect.backoff.max.ms": 1_000,
                "fetch.wait.max.ms": 100,
            }
        )

    def last_ids(self, symbols: Iterable[str]) -> dict[str, int]:
        """Return the last id of every symbol that the topic has a record of.

        Raises:
            TailUnreadableError: Kafka does not answer, or not usably.
            UnknownWriterSchemaError: From *decode*.
        """
        try:
            return self._last_ids(list(symbols))
        except KafkaException as error:
            message = f"{self._topic}: {error.args[0].str()}"
            raise TailUnreadableError(message) from error
        finally:
            self._consumer.close()

    def _last_ids(self, symbols: list[str]) -> dict[str, int]:
        windows = self._settled_windows(self._partitions())
        homes: dict[int, set[str]] = {}
        for symbol in symbols:
            home = partition_of(symbol.encode(), len(windows))
            homes.setdefault(home, set()).add(symbol)
        found = self._search([windows[home] for home in homes], homes)
        missing = set(symbols) - set(found)
        elsewhere = [
            window
            for window in windows.values()
            if window.partition not in homes and window.end > window.low
        ]
        if missing and elsewhere:
            # The topic may have had fewer partitions once, or a writer with another placement.
            log.info("looking for %s in %d further partitions", sorted(missing), len(elsewhere))
            found |= self._search(elsewhere, {each.partition: missing for each in elsewhere})
        if self._undecodable:
            log.warning("%d records at the tail are no trades of ours", self._undecodable)
        return found

    def _partitions(self) -> list[int]:
        metadata = self._consumer.list_topics(self._topic, timeout=_REQUEST_SECONDS)
        topic = metadata.topics[self._topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        return sorted(topic.partitions)

    def _settled_windows(self, partitions: list[int]) -> dict[int, Window]:
        for _ in range(_SETTLE_ROUNDS):
            asked = time.monotonic()
            before = self._ends(partitions)
            prompt = time.monotonic() - asked < _PROMPT_SECONDS
            self._cancelled.wait(_SETTLE_SECONDS)
            self._check_cancelled()
            after = self._ends(partitions)
            if before == after and prompt:
                break
        else:
            log.warning("somebody else keeps writing to %s", self._topic)
        return {
            partition: Window(partition, low, max(low, high - _FIRST_WINDOW), high)
            for partition, (low, high) in after.items()
        }

    def _ends(self, partitions: list[int]) -> dict[int, tuple[int, int]]:
        ends = {}
        for partition in partitions:
            self._check_cancelled()
            marks = self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), timeout=_REQUEST_SECONDS, cached=False
            )
            if marks is None:
                message = f"{self._topic}: partition {partition} does not tell its offsets"
                raise TailUnreadableError(message)
            ends[partition] = marks
        return ends

    def _search(self, windows: list[Window], wanted: Mapping[int, set[str]]) -> dict[str, int]:
        found: dict[str, int] = {}
        while windows := [window for window in windows if window.end > window.start]:
            self._read(windows, found)
            windows = [
                window.earlier() for window in windows if wanted[window.partition] - found.keys()
            ]
        return found

    def _read(self, windows: list[Window], found: dict[str, int]) -> None:
        self._consumer.assign(
            [TopicPartition(self._topic, window.partition, window.start) for window in windows]
        )
        open_ends = {window.partition: window.end for window in windows}
        progress_at = time.monotonic()
        while open_ends:
            self._check_cancelled()
            messages = self._consumer.consume(1_000, 0.5)
            if messages:
                progress_at = time.monotonic()
            elif time.monotonic() - progress_at > _STUCK_SECONDS:
                message = f"{self._topic}: no record came for {_STUCK_SECONDS:g} s"
                raise TailUnreadableError(message)
            for each in messages:
                self._take(each, open_ends, found)

    def _take(self, message: Message, open_ends: dict[int, int], found: dict[str, int]) -> None:
        partition, offset = message.partition(), message.offset()
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
            raise KafkaException(error)
        end = open_ends.get(partition or 0)
        if end is None or offset is None:
            return
        if error is None and offset < end:
            self._note(message, found)
        if error is not None or offset >= end - 1:
            del open_ends[partition or 0]

    def _note(self, message: Message, found: dict[str, int]) -> None:
        key = message.key()
        trade_id = self._decode(message.value())
        if trade_id is None or not isinstance(key, bytes):
            self._undecodable += 1
            return
        symbol = key.decode("utf-8", "replace")
        found[symbol] = max(trade_id, found.get(symbol, trade_id))

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            message = "cancelled"
            raise TailUnreadableError(message)
