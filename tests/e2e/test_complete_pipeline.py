"""
The whole way of the data: exchange -> source -> topic -> sink -> table -> API.

Most of it on a market that stands still, so that a test knows to the record what there has to be.
"""

import struct
import uuid
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.records import Window
from tests.e2e.content import (
    ask,
    decoded,
    ends,
    iceberg_table,
    latest_schema_id,
    messages,
    of_api,
    of_exchange,
    of_record,
    of_table,
    produce,
    registered_schema,
    rows_since,
    schema_id,
)
from tests.e2e.lab import Lab
from tests.e2e.outages import MIDWAY_RECORDS, Outage, Restarts
from tests.e2e.paths import covers

REQUIRED = ("message_id", "trade_id", "symbol", "exchange", "asset_class", "currency", "side")
EIGHT_PLACES = Decimal("0.00000001")


@covers("exchange -> topic", "topic -> table", "table -> API")
def test_one_known_trade_has_the_same_content_at_every_stage(still: Lab) -> None:
    baseline = still.baseline()
    window = still.emit(1, ["BTCUSDT"])
    trade_id = window.until["BTCUSDT"]
    still.await_arrival(window, "api")

    emitted = of_exchange("BTCUSDT", trade_id)
    in_topic = [
        of_record(decoded(value, registered_schema(still.pipeline, schema_id(value))))
        for value in _values_since(still, baseline)
    ]

    assert trade_id == emitted.trade_id
    assert [emitted] == in_topic
    assert [emitted] == of_table(still.pipeline, "BTCUSDT", trade_id)
    (shown,) = of_api(still.pipeline, "BTCUSDT", trade_id)
    # The API's numbers are doubles: the nearest to the exact ones, no further off.
    assert (
        emitted._replace(
            price=Decimal(repr(float(emitted.price))),
            quantity=Decimal(repr(float(emitted.quantity))),
        )
        == shown
    )


@covers("exchange -> topic", "topic -> table", "table -> API")
def test_a_window_of_exactly_so_many_trades_is_exactly_so_many_at_every_stage(still: Lab) -> None:
    baseline = still.baseline()
    window = still.emit(1_201)

    counts = still.audit(window, baseline)

    assert {"topic": 1_201, "table": 1_201, "api": 1_201} == counts
    assert 1_201 == window.expected


@covers("exchange -> topic", "topic -> table", "schema registration")
def test_every_record_and_the_table_follow_the_registered_schema(still: Lab) -> None:
    baseline = still.baseline()
    window = still.emit(240)
    still.await_arrival(window, "table")

    values = _values_since(still, baseline)
    numbers = {schema_id(value) for value in values}
    latest = latest_schema_id(still.pipeline)

    assert 240 == len(values)
    assert {latest} == numbers
    schema = registered_schema(still.pipeline, latest)
    assert "com.k2.marketdata.TradeV2" == schema["name"]
    names = [field["name"] for field in schema["fields"]]
    for value in values:
        assert names == list(decoded(value, schema))
    columns = iceberg_table(still.pipeline).schema().as_arrow()
    assert set(names) == set(columns.names)
    assert pa.decimal128(18, 8) == columns.field("price").type == columns.field("quantity").type
    assert pa.timestamp("us") == columns.field("timestamp").type


@covers("exchange -> topic", "topic -> table")
def test_what_is_in_the_table_is_complete_in_range_in_order_and_exact(still: Lab) -> None:
    began = still.clock.now()
    window = still.emit(600)
    still.await_arrival(window, "table")
    rows = _rows_of(still, window, began - timedelta(seconds=5))

    assert 600 == rows.num_rows
    for name in REQUIRED:
        assert rows[name].null_count == 0
        assert "" not in rows[name].to_pylist()
    assert {"BINANCE"} == set(rows["exchange"].to_pylist())
    assert {"BUY", "SELL"} == set(rows["side"].to_pylist())
    assert min(rows["price"].to_pylist()) > 0
    assert min(rows["quantity"].to_pylist()) > 0
    for symbol in window.until:
        _check_symbol(still, rows.filter(pc.equal(rows["symbol"], symbol)), symbol)


@covers("topic -> DLQ")
def test_what_cannot_be_decoded_goes_to_the_dead_letters_whole_and_the_rest_flows(
    still: Lab,
) -> None:
    topic = still.pipeline.topic
    assert topic is not None
    before = ends(still.pipeline, topic.dlq)
    poison = {
        "bad-magic": b"\x07not a record of ours " + uuid.uuid4().bytes,
        "unknown-schema": struct.pack(">bI", 0, 2_000_000_000) + uuid.uuid4().bytes,
        "corrupt-avro": struct.pack(">bI", 0, latest_schema_id(still.pipeline)) + b"\x02\xff",
    }
    baseline = still.baseline()
    produce(still.pipeline, list(poison.values()))
    window = still.emit(120)

    still.audit(window, baseline, ("table", "api"))
    letters = still.wait_until(
        lambda: list(messages(still.pipeline, topic.dlq, before)),
        lambda found: len(found) >= len(poison),
        "three dead letters",
        30,
    )

    assert {value: reason for reason, value in poison.items()} == {
        one.value: one.headers["reason"].decode() for one in letters
    }
    assert {topic.name.encode()} == {one.headers["topic"] for one in letters}


@covers("API authentication", "API refusals")
def test_the_api_refuses_what_it_should_and_says_why(still: Lab) -> None:
    pipeline = still.pipeline
    answers = {
        401: ask(pipeline, "/v1/trades", key=None),
        403: ask(pipeline, "/v1/trades", key="not-the-key"),
        404: ask(pipeline, "/v1/trades", symbol="NOSUCHUSDT"),
        422: ask(pipeline, "/v1/trades", limit="0"),
    }

    assert {status: status for status in answers} == {
        status: answer.status_code for status, answer in answers.items()
    }
    for answer in answers.values():
        assert answer.json()["success"] is False
        assert answer.json()["reason"]
    assert 422 == ask(pipeline, "/v1/trades", limit="1000000000").status_code
    assert 422 == ask(pipeline, "/v1/trades", colour="green").status_code
    assert 404 == ask(pipeline, "/v2/trades").status_code
    assert 200 == ask(pipeline, "/v1/trades", limit="1").status_code


@covers("exchange -> topic", "topic -> table", "replay after restart")
def test_a_broker_that_dies_midway_costs_no_record_and_doubles_none(
    lab: Lab, broker_outage: Outage
) -> None:
    counts = lab.audit(broker_outage.window, broker_outage.baseline)

    assert counts["api"] >= MIDWAY_RECORDS


@covers("topic -> table", "table -> API", "catalog and store commit")
def test_a_store_that_dies_midway_costs_no_record_and_doubles_none(
    lab: Lab, store_outage: Outage
) -> None:
    counts = lab.audit(store_outage.window, store_outage.baseline)

    assert counts["api"] >= MIDWAY_RECORDS


@covers("gap filling")
def test_what_the_exchange_emits_while_the_source_is_down_is_fetched_by_id(
    lab: Lab, restarts: Restarts
) -> None:
    counts = lab.audit(restarts.unseen, restarts.baseline)

    assert {"topic": 3_000, "table": 3_000, "api": 3_000} == counts


@covers("replay after restart")
def test_a_sink_that_dies_between_reading_and_writing_replays_and_doubles_nothing(
    lab: Lab, restarts: Restarts
) -> None:
    assert 0 == restarts.rows_of_unwritten, "it was written before the kill: nothing was tested"

    counts = lab.audit(restarts.unwritten, restarts.baseline)

    assert {"topic": 2_000, "table": 2_000, "api": 2_000} == counts


@covers("schema registration", "schema failover", "replay after restart")
def test_source_and_sink_start_and_work_with_one_registry_of_two(
    lab: Lab, restarts: Restarts
) -> None:
    assert "exited" == restarts.first_registry.status

    counts = lab.audit(restarts.window, restarts.baseline)

    assert {"topic": 5_000, "table": 5_000, "api": 5_000} == counts


def _check_symbol(lab: Lab, rows: pa.Table, symbol: str) -> None:
    """Ids without gap, event times that never go back, and the exchange's own eight decimals."""
    rows = rows.sort_by("source_sequence")
    ids = rows["source_sequence"].to_numpy()
    times = rows["timestamp"].cast(pa.int64()).to_numpy()
    assert (np.diff(ids) == 1).all()
    assert (np.diff(times) >= 0).all()
    for index in (0, rows.num_rows - 1):
        emitted = of_exchange(symbol, int(ids[index]))
        assert emitted.price == rows["price"][index].as_py()
        assert emitted.quantity == rows["quantity"][index].as_py()
        assert emitted.quantity % EIGHT_PLACES == 0


def _rows_of(lab: Lab, window: Window, since: datetime) -> pa.Table:
    """The table's rows of *window*, which began after *since*."""
    columns = rows_since(lab.pipeline, since)
    symbols, ids = columns["symbol"].to_pylist(), columns["source_sequence"].to_pylist()
    wanted = [
        symbol in window.until and window.after[symbol] < number <= window.until[symbol]
        for symbol, number in zip(symbols, ids, strict=True)
    ]
    return columns.filter(pa.array(wanted))


def _values_since(lab: Lab, baseline: Baseline) -> list[bytes]:
    """What the topic was given since *baseline*."""
    assert lab.pipeline.topic is not None
    since = dict(baseline.topic_offsets or {})
    found = messages(lab.pipeline, lab.pipeline.topic.name, since)
    return [one.value for one in found if one.value is not None]
