"""What a trade is: the decoded record, the table's columns, and the way from one to the other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import NoneType
from typing import Any, Final

import pyarrow as pa
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform
from pyiceberg.types import (
    DecimalType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
)

RECORD_NAME: Final = "com.k2.marketdata.TradeV2"

_SIDES: Final = frozenset({"BUY", "SELL", "SELL_SHORT", "UNKNOWN"})
_ASSET_CLASSES: Final = frozenset({"equities", "crypto", "futures", "options"})

# What fastavro makes of the record's fields. The writer's schema decides how bytes are read; only
# what comes out is held against this, so a writer may add fields or rename an enum.
_FIELDS: Final[dict[str, tuple[type, ...]]] = {
    "message_id": (str,),
    "trade_id": (str,),
    "symbol": (str,),
    "exchange": (str,),
    "asset_class": (str,),
    "timestamp": (datetime,),
    "price": (Decimal,),
    "quantity": (Decimal,),
    "currency": (str,),
    "side": (str,),
    "trade_conditions": (list,),
    "source_sequence": (int, NoneType),
    "ingestion_timestamp": (datetime,),
    "platform_sequence": (int, NoneType),
    "vendor_data": (dict, NoneType),
}

_PRICE: Final = DecimalType(18, 8)

TABLE: Final = Schema(
    NestedField(1, "message_id", StringType(), required=True),
    NestedField(2, "trade_id", StringType(), required=True),
    NestedField(3, "symbol", StringType(), required=True),
    NestedField(4, "exchange", StringType(), required=True),
    NestedField(5, "asset_class", StringType(), required=True),
    NestedField(6, "timestamp", TimestampType(), required=True),
    NestedField(7, "price", _PRICE, required=True),
    NestedField(8, "quantity", _PRICE, required=True),
    NestedField(9, "currency", StringType(), required=True),
    NestedField(10, "side", StringType(), required=True),
    NestedField(11, "trade_conditions", StringType(), required=False),
    NestedField(12, "source_sequence", LongType(), required=False),
    NestedField(13, "ingestion_timestamp", TimestampType(), required=True),
    NestedField(14, "platform_sequence", LongType(), required=False),
    NestedField(15, "vendor_data", StringType(), required=False),
)
PARTITIONING: Final = PartitionSpec(
    PartitionField(source_id=6, field_id=1000, transform=DayTransform(), name="timestamp_day")
)

_ARROW_TYPES: Final[dict[type, pa.DataType]] = {
    StringType: pa.string(),
    LongType: pa.int64(),
    TimestampType: pa.timestamp("us"),
    DecimalType: pa.decimal128(18, 8),
}
ARROW: Final = pa.schema(
    [
        pa.field(column.name, _ARROW_TYPES[type(column.field_type)], nullable=not column.required)
        for column in TABLE.fields
    ]
)

# One encoder for all rows; `json.dumps` makes one per call when told how to write.
_JSON: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True)
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
_LARGEST: Final = Decimal(10) ** 10
_STEP: Final = Decimal(10) ** -8


def misfit_of(record: Mapping[str, Any]) -> str | None:
    """Say in what *record* is not a trade, if it is not."""
    for name, types in _FIELDS.items():
        if not isinstance(record.get(name), types):
            return f"{name} is {type(record.get(name)).__name__}, not {types[0].__name__}"
    if record["side"] not in _SIDES:
        return f"side is {record['side']!r}"
    if record["asset_class"] not in _ASSET_CLASSES:
        return f"asset_class is {record['asset_class']!r}"
    return None


def excess_of(trade: Mapping[str, Any]) -> str | None:
    """Say what in *trade* the table cannot hold, if anything; never rounds, never guesses."""
    for name in ("price", "quantity"):
        value: Decimal = trade[name]
        if not value.is_finite() or abs(value) >= _LARGEST:
            return f"{name} {value} has more than 10 digits before the point"
        if value != value.quantize(_STEP):
            return f"{name} {value} has more than 8 decimals"
    for name in ("timestamp", "ingestion_timestamp"):
        if not _EARLIEST <= trade[name] < _LATEST:
            return f"{name} {trade[name]} lies outside the years 2000 to 2099"
    return next((f"{name} is empty" for name in ("symbol", "trade_id") if not trade[name]), None)


def as_rows(trades: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Lay *trades* out as the table's columns."""
    columns = [pa.array(_cells(column.name, trades), type=column.type) for column in ARROW]
    return pa.Table.from_arrays(columns, schema=ARROW)


def _cells(column: str, trades: Sequence[Mapping[str, Any]]) -> list[object]:
    values = [trade.get(column) for trade in trades]
    if column in ("trade_conditions", "vendor_data"):
        return [_as_json(value) for value in values]
    return values


def _as_json(value: object) -> str | None:
    if value is None:
        return None
    # Nearly all trades have no conditions.
    return "[]" if value == [] else _JSON.encode(value)
