"""
A topic with the contracts of K2, on librdkafka's own mock broker (a real TCP server).

The broker lives in the producer of this object and goes with it.
"""

import io
import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import fastavro
from confluent_kafka import Producer, TopicPartition

from k2chaos.pipeline import Record, Sequence, Topic
from tests.fakes.servers import Answer, FakeServer, Request, serving

RECORD = Record(key="symbol", sequence=Sequence("trade_id", "BINANCE-"), event_time="timestamp")
START_MS = 1_700_000_000_000

TRADE: dict[str, Any] = {
    "type": "record",
    "name": "TradeV2",
    "namespace": "com.k2.marketdata",
    "fields": [
        {"name": "message_id", "type": "string"},
        {"name": "trade_id", "type": "string"},
        {"name": "symbol", "type": "string"},
        {
            "name": "side",
            "type": {"type": "enum", "name": "Side", "symbols": ["BUY", "SELL"]},
        },
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 8},
        },
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "trade_conditions", "type": {"type": "array", "items": "string"}},
        {"name": "source_sequence", "type": ["null", "long"]},
        {"name": "vendor_data", "type": ["null", {"type": "map", "values": "string"}]},
    ],
}


def time_of(sequence: int) -> datetime:
    """The event time that the fakes give a record: 10 ms from one to the next."""
    return datetime.fromtimestamp((START_MS + 10 * sequence) / 1000, UTC)


def encode(symbol: str, sequence: int, schema_id: int = 1, price: bytes = b"\x01\x02") -> bytes:
    """One trade in Confluent's wire format."""
    stream = io.BytesIO()
    trade = {
        "message_id": f"{symbol}/{sequence}",
        "trade_id": f"BINANCE-{sequence}",
        "symbol": symbol,
        "side": "BUY",
        "price": price,
        "timestamp": (START_MS + 10 * sequence) * 1000,
        "trade_conditions": ["a", "b"],
        "source_sequence": sequence,
        "vendor_data": {"m": "true"},
    }
    plain = json.loads(json.dumps(TRADE).replace('"logicalType"', '"wasLogicalType"'))
    fastavro.schemaless_writer(stream, fastavro.parse_schema(plain), trade)
    return struct.pack(">bI", 0, schema_id) + stream.getvalue()


def registry_answer(request: Request) -> Answer:
    """Schema 1 is known, no other."""
    if request.path.endswith("/schemas/ids/1"):
        return 200, {"schema": json.dumps(TRADE)}
    return 404, {"error_code": 40403, "message": "Schema not found"}


class FakeTopic:
    """
    A topic of four partitions and its registry.

    Attributes:
        topic: What the pipeline file would say of it.
    """

    def __init__(self, registry: FakeServer) -> None:
        """Start the broker."""
        self.registry = registry
        self.name = "market.crypto.trades.binance"
        self._producer = Producer(
            {"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 0}
        )
        brokers = self._producer.list_topics(self.name, timeout=5).brokers
        broker = next(iter(brokers.values()))
        self.topic = Topic(
            bootstrap=f"{broker.host}:{broker.port}",
            name=self.name,
            dlq=f"{self.name}.dlq",
            group="sink",
            registry=(registry.url,),
        )

    def put(self, symbol: str, *sequences: int, partition: int = 0) -> None:
        """Append trades."""
        for sequence in sequences:
            self.put_raw(encode(symbol, sequence), partition)
        self.flush()

    def put_raw(
        self,
        value: bytes | None,
        partition: int = 0,
        topic: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Append anything, to *topic* where it is another one."""
        self._producer.produce(
            topic or self.name, value=value, partition=partition, headers={**(headers or {})}
        )
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until all is written."""
        left = self._producer.flush(10)
        assert left == 0, "the mock broker did not take the records"

    @property
    def partitions(self) -> list[TopicPartition]:
        """All partitions, for clients of the test's own."""
        return [TopicPartition(self.name, number) for number in range(4)]


@contextmanager
def fake_topic() -> Iterator[FakeTopic]:
    """A topic and a registry until the block ends."""
    with serving(registry_answer) as registry:
        yield FakeTopic(registry)
