"""
A trade's content as each stage tells it, laid into one shape so that stages can be compared.

Written from the contracts alone: no service's own code decodes what that service wrote.
"""

import io
import json
import ssl
import struct
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, cast

import confluent_kafka
import fastavro
import httpx
import pyarrow as pa
from pyiceberg.catalog import load_catalog
from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual
from pyiceberg.table import Table

from k2chaos.pipeline import Pipeline

EXCHANGE = "https://127.0.0.1:9443"
AUTHORITY = Path("stack/lab-ca.pem")
_HEADER = struct.Struct(">bI")
_READ_SECONDS = 15.0


class Trade(NamedTuple):
    """One trade. Price and quantity are exact; the event time is in milliseconds."""

    symbol: str
    trade_id: int
    time_ms: int
    price: Decimal
    quantity: Decimal
    side: str


class Message(NamedTuple):
    """One record of a topic as it lies there."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


def of_exchange(symbol: str, trade_id: int) -> Trade:
    """The trade as the exchange's history by id tells it, over TLS and the lab's own CA."""
    query = {"symbol": symbol, "fromId": str(trade_id), "limit": "1"}
    url = f"{EXCHANGE}/api/v3/historicalTrades"
    (one,) = (
        httpx.get(url, params=query, verify=ssl.create_default_context(cafile=AUTHORITY))
        .raise_for_status()
        .json()
    )
    return Trade(
        symbol,
        one["id"],
        one["time"],
        Decimal(one["price"]),
        Decimal(one["qty"]),
        # The buyer is the maker: the taker sold.
        "SELL" if one["isBuyerMaker"] else "BUY",
    )


def messages(pipeline: Pipeline, topic: str, since: dict[int, int]) -> Iterator[Message]:
    """Every record of *topic* from the offsets *since* to its present end."""
    consumer = _consumer(pipeline)
    try:
        marks = _marks(consumer, topic)
        left = {one: end for one, (_, end) in marks.items() if end > since.get(one, 0)}
        starts = {one: max(since.get(one, 0), marks[one][0]) for one in left}
        consumer.assign([confluent_kafka.TopicPartition(topic, *one) for one in starts.items()])
        until = time.monotonic() + _READ_SECONDS
        while left:
            assert time.monotonic() < until, f"{topic}: partitions {left} do not end"
            message = consumer.poll(0.2)
            if message is not None:
                yield _taken(message, left)
    finally:
        consumer.close()


def _taken(message: confluent_kafka.Message, left: dict[int, int]) -> Message:
    """One record; a partition whose end it is goes from *left*."""
    assert message.error() is None, message.error()
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    if offset >= left.get(partition, 0) - 1:
        left.pop(partition, None)
    pairs: list[tuple[str, Any]] = list(message.headers() or [])  # type: ignore[arg-type]
    headers = {key: value for key, value in pairs if isinstance(value, bytes)}
    key, value = message.key(), message.value()
    assert not isinstance(key, str)
    assert not isinstance(value, str)
    return Message(partition, offset, key, value, headers)


def produce(pipeline: Pipeline, values: Sequence[bytes]) -> None:
    """Put *values* on the topic, as somebody who is not the source."""
    assert pipeline.topic is not None
    options = {"bootstrap.servers": pipeline.topic.bootstrap, "acks": "all"}
    producer = confluent_kafka.Producer(options)
    for value in values:
        producer.produce(pipeline.topic.name, key=b"BTCUSDT", value=value)
    assert producer.flush(10) == 0, "not all of it was taken"


def ends(pipeline: Pipeline, topic: str) -> dict[int, int]:
    """The offset that each partition's next record will have."""
    consumer = _consumer(pipeline)
    try:
        return {partition: end for partition, (_, end) in _marks(consumer, topic).items()}
    finally:
        consumer.close()


def _consumer(pipeline: Pipeline) -> confluent_kafka.Consumer:
    """One that joins no group and leaves no trace."""
    assert pipeline.topic is not None
    return confluent_kafka.Consumer(
        {
            "bootstrap.servers": pipeline.topic.bootstrap,
            "group.id": "e2e-looks",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 20,
        }
    )


def _marks(consumer: confluent_kafka.Consumer, topic: str) -> dict[int, tuple[int, int]]:
    """The first and the next offset of each partition."""
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    return {
        one: consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, one), timeout=10)
        for one in partitions
    }


def latest_schema_id(pipeline: Pipeline) -> int:
    """The id of the newest schema of the topic's values."""
    assert pipeline.topic is not None
    url = f"{pipeline.topic.registry[0]}/subjects/{pipeline.topic.name}-value/versions/latest"
    return int(httpx.get(url).raise_for_status().json()["id"])


def schema_id(value: bytes) -> int:
    """The registry's id of the schema that *value* was written with."""
    magic, number = _HEADER.unpack_from(value)
    assert magic == 0, f"not Confluent's wire format: {value[:8]!r}"
    return int(number)


def registered_schema(pipeline: Pipeline, number: int) -> Any:
    """The parsed schema that the registry has under *number*."""
    assert pipeline.topic is not None
    url = f"{pipeline.topic.registry[0]}/schemas/ids/{number}"
    return fastavro.parse_schema(json.loads(httpx.get(url).raise_for_status().json()["schema"]))


def decoded(value: bytes, schema: Any) -> dict[str, Any]:
    """The record of *value*, which must hold nothing else."""
    stream = io.BytesIO(value)
    stream.seek(_HEADER.size)
    record = fastavro.schemaless_reader(stream, schema, None)
    assert isinstance(record, dict)
    assert not stream.read(), "bytes are left after the record"
    return record


def of_record(record: dict[str, Any]) -> Trade:
    """The trade as the topic's record tells it."""
    return Trade(
        record["symbol"],
        _number(record["trade_id"]),
        _milliseconds(record["timestamp"]),
        record["price"],
        record["quantity"],
        record["side"],
    )


def iceberg_table(pipeline: Pipeline) -> Table:
    """The table, loaded now."""
    assert pipeline.table is not None
    properties = {"s3.region": "us-east-1", **pipeline.table.catalog}
    return load_catalog("e2e", **properties).load_table(pipeline.table.name)


def of_table(pipeline: Pipeline, symbol: str, trade_id: int) -> list[Trade]:
    """Every row that the table has of one trade."""
    # Its types are of a plug-in.
    condition = cast("Any", EqualTo)("trade_id", f"BINANCE-{trade_id}")
    rows = iceberg_table(pipeline).scan(row_filter=condition).to_arrow().to_pylist()
    return [of_record(row) for row in rows if row["symbol"] == symbol]


def rows_since(pipeline: Pipeline, since: datetime, symbol: str = "") -> pa.Table:
    """The table's rows with an event time from *since* (aware) on, of one symbol or of all."""
    naive = since.astimezone(UTC).replace(tzinfo=None)
    condition = cast("Any", GreaterThanOrEqual)("timestamp", naive.isoformat())
    if symbol:
        condition = And(condition, cast("Any", EqualTo)("symbol", symbol))
    return iceberg_table(pipeline).scan(row_filter=condition).to_arrow()


def of_api(pipeline: Pipeline, symbol: str, trade_id: int) -> list[Trade]:
    """Every trade of that id among the newest 1,000 of its symbol that the API shows."""
    found = ask(pipeline, "/v1/trades", symbol=symbol, limit="1000").raise_for_status().json()
    return [
        of_record(one | {name: Decimal(repr(one[name])) for name in ("price", "quantity")})
        for one in found["data"]
        if one["trade_id"] == f"BINANCE-{trade_id}"
    ]


def ask(pipeline: Pipeline, path: str, key: str | None = "", **query: str) -> httpx.Response:
    """One request to the API, with its key (default), another, or none (``None``)."""
    assert pipeline.api is not None
    headers = {} if key is None else {"X-API-Key": key or pipeline.api.key}
    return httpx.get(f"{pipeline.api.url}{path}", params=query, headers=headers, timeout=10.0)


def _number(trade_id: str) -> int:
    assert trade_id.startswith("BINANCE-"), trade_id
    return int(trade_id.removeprefix("BINANCE-"))


def _milliseconds(moment: datetime | str) -> int:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
