"""A broker in this process (librdkafka's own), and a whole sink that runs against it."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition
from sink_catalog import Lake
from test_sink_codec import AT, a_trade, schema, wire
from test_sink_table import NAME

from consumer_crypto.codec import Decoder
from consumer_crypto.dlq import DeadLetters
from consumer_crypto.health import Vitals
from consumer_crypto.settings import Settings, UpkeepSettings
from consumer_crypto.sink import Sink
from consumer_crypto.table import TradesTable
from consumer_crypto.upkeep import Upkeep
from consumer_crypto.writer import Writer

TOPIC = "trades"
PARTITIONS = 4


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


class Broker:
    """Four partitions a topic, groups and offsets included; gone with this object."""

    def __init__(self) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": "none",
                "test.mock.num.brokers": 1,
                "message.max.bytes": 2_000_000,
            }
        )
        brokers = self._producer.list_topics(TOPIC, timeout=5).brokers.values()
        self.address = ",".join(f"{one.host}:{one.port}" for one in brokers)
        self.group = "sink-0"

    def write(self, *values: bytes | None) -> None:
        for number, value in enumerate(values):
            self._producer.produce(TOPIC, value, partition=number % PARTITIONS)
        assert self._producer.flush(10) == 0

    def write_trades(self, numbers: range, **changes: Any) -> None:
        self.write(*(wire(numbered(n, **changes), schema()) for n in numbers))

    def offsets(self) -> list[TopicPartition]:
        """Tell the offsets that the group committed."""
        asking = Consumer({"bootstrap.servers": self.address, "group.id": self.group})
        try:
            found = asking.committed([TopicPartition(TOPIC, p) for p in range(PARTITIONS)], 5)
        finally:
            asking.close()
        return [one for one in found if one.offset >= 0]

    def committed(self) -> int:
        """Tell how many records that are."""
        return sum(one.offset for one in self.offsets())

    def renew_group(self) -> None:
        """
        Give the group another name, and its offsets to that.

        This broker lets nobody into a group that its last member left.
        """
        offsets = self.offsets()
        self.group += "0"
        telling = Consumer({"bootstrap.servers": self.address, "group.id": self.group})
        if offsets:
            telling.commit(offsets=offsets, asynchronous=False)
        telling.close()

    def letters(self, count: int) -> list[dict[str, Any]]:
        """Read *count* dead letters: their values and headers."""
        reading = Consumer({"bootstrap.servers": self.address, "group.id": "reader"})
        reading.assign([TopicPartition(f"{TOPIC}.dlq", p, 0) for p in range(PARTITIONS)])
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + 20
        while len(found) < count and time.monotonic() < deadline:
            found += [
                {"value": one.value(), **dict(one.headers() or [])}
                for one in reading.consume(10, 0.2)
                if not one.error()
            ]
        reading.close()
        return found


def numbered(number: int, **changes: Any) -> dict[str, Any]:
    at = AT + timedelta(milliseconds=number)
    changes = {"trade_id": f"BINANCE-{number}", "timestamp": at, **changes}
    return a_trade(source_sequence=number, **changes)


def settings(broker: Broker, bugs: frozenset[str], **changes: Any) -> Settings:
    usual: dict[str, Any] = {
        "kafka_bootstrap": broker.address, "topic": TOPIC, "dlq_topic": f"{TOPIC}.dlq",
        "group_id": broker.group, "group_instance_id": "sink-1", "registries": (),
        "catalog_uri": "",
        "s3_endpoint": "", "s3_access_key": "", "s3_secret_key": "", "table": NAME,
        "batch_seconds": 0.2, "batch_records": 1000, "upkeep": UpkeepSettings(), "port": 0,
        "log_level": "INFO", "bugs": bugs,
    }  # fmt: skip
    return Settings(**{**usual, **changes})


class Running:
    """A sink at work, in a thread of its own."""

    def __init__(self, lake: Lake, chosen: Settings) -> None:
        self.vitals = Vitals(started_at=time.monotonic())
        self.failure: Exception | None = None
        table = TradesTable(lambda: lake, chosen.table, chosen.topic, bugs=chosen.bugs)
        parsed: Any = fastavro.parse_schema(schema())
        letters = DeadLetters(chosen.kafka_bootstrap, chosen.topic, chosen.dlq_topic)
        upkeep = Upkeep(table, chosen.upkeep, self.vitals)
        decoder = Decoder(lambda _: parsed)
        self._writer = Writer(decoder, letters, table, upkeep, self.vitals, chosen.bugs)
        self._sink = Sink(chosen, table, self._writer, self.vitals)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._sink.run()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.failure = error

    def kill(self) -> None:
        """End without writing anything more, as after SIGKILL."""
        self._writer.abandon()
        self.stop()

    def ask_to_stop(self) -> None:
        self._sink.stop()

    def stop(self, seconds: float = 30.0) -> None:
        self._sink.stop()
        self._thread.join(seconds)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def running(lake: Lake, broker: Broker, *bugs: str, **changes: Any) -> Iterator[Running]:
    sink = Running(lake, settings(broker, frozenset(bugs), **changes))
    try:
        yield sink
    finally:
        sink.stop()
        broker.renew_group()
