"""Decoding: what becomes a row, what goes to the dead letters, what is asked again."""

import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pyarrow as pa
import pytest

from consumer_crypto import trade
from consumer_crypto.batch import Record
from consumer_crypto.codec import Decoder, Reason, UndecodableError
from consumer_crypto.dlq import Letter

DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 8}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
SIDES = {"type": "enum", "name": "Side", "symbols": ["BUY", "SELL", "SELL_SHORT", "UNKNOWN"]}
CLASSES = {"type": "enum", "name": "Class", "symbols": ["equities", "crypto", "futures", "options"]}
FIELDS: dict[str, Any] = {
    "message_id": "string", "trade_id": "string", "symbol": "string", "exchange": "string",
    "asset_class": CLASSES, "timestamp": MICROS, "price": DECIMAL, "quantity": DECIMAL,
    "currency": "string", "side": SIDES, "trade_conditions": {"type": "array", "items": "string"},
    "source_sequence": ["null", "long"], "ingestion_timestamp": MICROS,
    "platform_sequence": ["null", "long"],
    "vendor_data": ["null", {"type": "map", "values": "string"}],
}  # fmt: skip
AT = datetime(2026, 11, 22, 15, 1, 0, 123000, tzinfo=UTC)


def schema(**changes: Any) -> dict[str, Any]:
    fields = [{"name": name, "type": kind} for name, kind in {**FIELDS, **changes}.items() if kind]
    return {
        "type": "record", "name": "TradeV2", "namespace": "com.k2.marketdata", "fields": fields
    }  # fmt: skip


def a_trade(**changes: Any) -> dict[str, Any]:
    return {
        "message_id": "m", "trade_id": "BINANCE-7", "symbol": "BTCUSDT", "exchange": "BINANCE",
        "asset_class": "crypto", "timestamp": AT, "price": Decimal("97000.10000000"),
        "quantity": Decimal("0.00120000"), "currency": "USDT", "side": "SELL",
        "trade_conditions": [], "source_sequence": 7, "ingestion_timestamp": AT,
        "platform_sequence": None, "vendor_data": None, **changes,
    }  # fmt: skip


def wire(record: dict[str, Any], written_with: dict[str, Any], schema_id: int = 3) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(written_with), record)
    return b"\0" + schema_id.to_bytes(4) + stream.getvalue()


def decoder(written_with: dict[str, Any] | None = None) -> Decoder:
    parsed = fastavro.parse_schema(written_with or schema())
    return Decoder(lambda _: parsed)  # type: ignore[arg-type, return-value]


def reason(value: bytes | None, written_with: dict[str, Any] | None = None) -> str:
    with pytest.raises(UndecodableError) as caught:
        decoder(written_with).decode(value)
    return caught.value.reason


def test_a_trade_comes_out_as_it_went_in() -> None:
    assert decoder().decode(wire(a_trade(), schema())) == a_trade()


def test_a_record_without_value_is_undecodable() -> None:
    assert reason(None) == Reason.NO_VALUE


@pytest.mark.parametrize("value", [b"", b"\0\0\0\0", b"\1\0\0\0\3abc", b'{"symbol": "BTCUSDT"}'])
def test_anything_but_the_wire_format_has_bad_magic(value: bytes) -> None:
    assert reason(value) == Reason.BAD_MAGIC


def test_a_record_cut_anywhere_is_corrupt() -> None:
    whole = wire(a_trade(), schema())
    assert {reason(whole[:end]) for end in range(5, len(whole))} == {Reason.CORRUPT_AVRO}


def test_bytes_after_the_record_make_it_corrupt() -> None:
    assert reason(wire(a_trade(), schema()) + b"x") == Reason.CORRUPT_AVRO


def test_a_length_of_exabytes_is_corrupt_and_not_allocated() -> None:
    assert reason(b"\0\0\0\0\3" + b"\xfe" * 8 + b"\x7f") == Reason.CORRUPT_AVRO


def test_a_writer_may_add_fields_and_name_its_enums_as_it_likes() -> None:
    newer = schema(venue=["null", "string"], side={**SIDES, "name": "TradeSide"})
    decoded = decoder(newer).decode(wire(a_trade(venue="X"), newer))
    assert trade.as_rows([decoded]) == trade.as_rows([a_trade()])


def test_a_writer_may_leave_out_what_may_be_null() -> None:
    older = schema(vendor_data=None, platform_sequence=None)
    decoded = decoder(older).decode(wire(a_trade(), older))
    assert trade.as_rows([decoded]) == trade.as_rows([a_trade()])


def test_a_writer_that_leaves_out_the_price_writes_another_schema() -> None:
    other = schema(price=None)
    assert reason(wire(a_trade(), other), other) == Reason.OTHER_SCHEMA


def test_a_price_that_is_a_double_is_another_schema() -> None:
    other = schema(price="double")
    assert reason(wire(a_trade(price=1.5), other), other) == Reason.OTHER_SCHEMA


@pytest.mark.parametrize(
    "changes",
    [
        {"price": Decimal("1.123456789")},
        {"quantity": Decimal("12345678901.0")},
        {"timestamp": datetime(1970, 1, 1, tzinfo=UTC)},
        {"symbol": ""},
    ],
)
def test_what_the_table_cannot_hold_is_out_of_range(changes: dict[str, Any]) -> None:
    wide = {**DECIMAL, "precision": 30, "scale": 12}
    other = schema(price=wide, quantity=wide)
    assert reason(wire(a_trade(**changes), other), other) == Reason.OUT_OF_RANGE


def test_trailing_zeros_beyond_eight_decimals_are_no_loss() -> None:
    wide = schema(price={**DECIMAL, "precision": 30, "scale": 12})
    decoded = decoder(wide).decode(wire(a_trade(), wide))
    assert trade.as_rows([decoded]) == trade.as_rows([a_trade()])


def test_rows_hold_naive_utc_and_json() -> None:
    rows = trade.as_rows([a_trade(trade_conditions=["x"], vendor_data={"b": "2", "a": "1"})])
    row = rows.to_pylist()[0]
    assert row["timestamp"] == AT.replace(tzinfo=None)
    assert row["trade_conditions"] == '["x"]'
    assert json.loads(row["vendor_data"]) == {"a": "1", "b": "2"}
    assert row["price"] == Decimal("97000.1")


def test_no_trades_make_a_table_without_rows() -> None:
    assert trade.as_rows([]) == trade.ARROW.empty_table()


def test_arrow_and_iceberg_columns_agree() -> None:
    iceberg = trade.TABLE.as_arrow()
    assert trade.ARROW.names == iceberg.names
    assert [f.nullable for f in trade.ARROW] == [f.nullable for f in iceberg]
    plain = [pa.string() if pa.types.is_large_string(t) else t for t in iceberg.types]
    assert trade.ARROW.types == plain


def test_a_letter_says_where_its_record_was() -> None:
    letter = Letter(Record(5, 42, b"k", b"v"), Reason.BAD_MAGIC, "starts with '01'")
    assert dict(letter.headers("topic")) == {
        "reason": b"bad-magic", "detail": b"starts with '01'",
        "topic": b"topic", "partition": b"5", "offset": b"42",
    }  # fmt: skip


def test_a_letter_too_large_for_any_topic_is_cut_and_says_so() -> None:
    letter = Letter(Record(5, 42, b"k" * 60_000, b"v" * 2_000_000), Reason.BAD_MAGIC, "t" * 5000)
    headers = dict(letter.headers("topic"))
    assert (headers["cut-key"], headers["cut-value"]) == (b"60000", b"2000000")
    assert len(letter.key or b"") + len(letter.value or b"") < 1_000_000 - 3000
    assert len(headers["detail"] or b"") == 1000
