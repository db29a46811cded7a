"""TradeV2 in Avro under the Confluent wire format: magic 0, u32 schema id, Avro.

Decimals are exact: eight places, as the schema says. A number with more of them is rounded
half to even, and the record then carries what the exchange really said in `vendor_data`
(`raw_price`, `raw_quantity`), so nothing is lost. A number that fits no decimal(18, 8) cannot
be represented at all: `UnusableTradeError`.
"""

import io
import json
import re
import struct
import time
import uuid
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple

import fastavro

from binance_stream.settings import currency_of
from binance_stream.trade import Trade

_MICROS = {"type": "long", "logicalType": "timestamp-micros"}
_DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 8}
_ASSET_CLASS = {
    "type": "enum",
    "name": "AssetClass",
    "symbols": ["equities", "crypto", "futures", "options"],
}
_SIDE = {
    "type": "enum",
    "name": "TradeSide",
    "symbols": ["BUY", "SELL", "SELL_SHORT", "UNKNOWN"],
}
_FIELDS: list[tuple[str, object]] = [
    ("message_id", "string"),
    ("trade_id", "string"),
    ("symbol", "string"),
    ("exchange", "string"),
    ("asset_class", _ASSET_CLASS),
    ("timestamp", _MICROS),
    ("price", _DECIMAL),
    ("quantity", _DECIMAL),
    ("currency", "string"),
    ("side", _SIDE),
    ("trade_conditions", {"type": "array", "items": "string"}),
    ("source_sequence", ["null", "long"]),
    ("ingestion_timestamp", _MICROS),
    ("platform_sequence", ["null", "long"]),
    ("vendor_data", ["null", {"type": "map", "values": "string"}]),
]
TRADE_V2 = {
    "type": "record",
    "name": "TradeV2",
    "namespace": "com.k2.marketdata",
    "fields": [{"name": name, "type": kind} for name, kind in _FIELDS],
}
SCHEMA_TEXT = json.dumps(TRADE_V2)

EXCHANGE = "BINANCE"
PLACES = 8
_LARGEST = 10**18 - 1
_PLAIN = re.compile(r"[0-9]{1,18}(?:\.([0-9]{1,40}))?", re.ASCII)
_HEADER = struct.Struct(">bI")


class UnusableTradeError(ValueError):
    """A trade that TradeV2 cannot represent."""


class UnknownWriterSchemaError(LookupError):
    """A record was written with a schema this codec has not been taught."""

    def __init__(self, schema_id: int) -> None:
        """Name the schema by the registry's *schema_id*."""
        super().__init__(f"schema {schema_id} is not known yet")
        self.schema_id = schema_id


class Scaled(NamedTuple):
    """A decimal as a count of 10^-8 units, and whether that is not all that was said."""

    units: int
    rounded: bool


def scaled(text: str) -> Scaled:
    """Read a decimal exactly, or rounded half to even where it has more than eight places.

    Raises:
        UnusableTradeError: No plain positive number, or none of decimal(18, 8).
    """
    match = _PLAIN.fullmatch(text)
    if match is None:
        message = f"{text!r:.40} is not a plain decimal"
        raise UnusableTradeError(message)
    places = match[1] or ""
    if len(places) <= PLACES:
        units, rounded = int(text.replace(".", "")) * 10 ** (PLACES - len(places)), False
    else:
        exact = Decimal(text).scaleb(PLACES)
        units = int(exact.to_integral_value(ROUND_HALF_EVEN))
        rounded = exact != units
    if not 0 < units <= _LARGEST:
        message = f"{text!r:.40} does not fit decimal(18, 8)"
        raise UnusableTradeError(message)
    return Scaled(units, rounded)


def message_id(symbol: str, trade_id: int) -> str:
    """Return the same id for the same trade, whoever asks: uuid5 of "BINANCE:symbol:id"."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{EXCHANGE}:{symbol}:{trade_id}"))


class Codec:
    """Encodes trades under one schema id; decodes ids of records under any it was taught."""

    def __init__(self, schema_id: int, symbols: tuple[str, ...]) -> None:
        """Write records of *symbols* under *schema_id*, the registry's for `TRADE_V2`."""
        self._schema = fastavro.parse_schema(TRADE_V2)
        self._header = _HEADER.pack(0, schema_id)
        self._currencies = {symbol: currency_of(symbol) for symbol in symbols}
        self._taught: dict[int, Any] = {schema_id: self._schema}

    def teach(self, schema_id: int, text: str | None) -> None:
        """Let records of *schema_id* be decoded; with `None` they count as undecodable."""
        try:
            self._taught[schema_id] = text and fastavro.parse_schema(json.loads(text))
        except (ValueError, fastavro.schema.SchemaParseException):
            self._taught[schema_id] = None

    def encode(self, trade: Trade) -> tuple[bytes, bool]:
        """Return the record of *trade* and whether a number had to be rounded.

        Raises:
            UnusableTradeError: TradeV2 cannot represent it.
        """
        price, quantity = scaled(trade.price), scaled(trade.quantity)
        rounded = price.rounded or quantity.rounded
        raw = {"raw_price": trade.price, "raw_quantity": trade.quantity}
        record = {
            "message_id": message_id(trade.symbol, trade.trade_id),
            "trade_id": f"{EXCHANGE}-{trade.trade_id}",
            "symbol": trade.symbol,
            "exchange": EXCHANGE,
            "asset_class": "crypto",
            "timestamp": trade.time_ms * 1000,
            "price": _big_endian(price.units),
            "quantity": _big_endian(quantity.units),
            "currency": self._currencies[trade.symbol],
            "side": "SELL" if trade.buyer_is_maker else "BUY",
            "trade_conditions": [],
            "source_sequence": trade.trade_id,
            "ingestion_timestamp": time.time_ns() // 1000,
            "platform_sequence": None,
            "vendor_data": raw if rounded else None,
        }
        out = io.BytesIO()
        out.write(self._header)
        fastavro.schemaless_writer(out, self._schema, record)
        return out.getvalue(), rounded

    def trade_id(self, value: bytes | None) -> int | None:
        """Return the trade id of a record found in the topic; `None` if it is no TradeV2.

        Raises:
            UnknownWriterSchemaError: Teach its schema first.
        """
        if value is None or len(value) <= _HEADER.size:
            return None
        magic, schema_id = _HEADER.unpack_from(value)
        if magic != 0:
            return None
        if schema_id not in self._taught:
            raise UnknownWriterSchemaError(schema_id)
        return self._decoded_id(value, self._taught[schema_id])

    def _decoded_id(self, value: bytes, written_with: Any) -> int | None:
        if written_with is None:
            return None
        body = io.BytesIO(value[_HEADER.size :])
        try:
            record: Any = fastavro.schemaless_reader(body, written_with, self._schema)
        except Exception:  # noqa: BLE001 - fastavro raises whatever the bytes provoke
            return None
        found = record["source_sequence"]
        return found if isinstance(found, int) else None


def _big_endian(units: int) -> bytes:
    return units.to_bytes(units.bit_length() // 8 + 1, "big", signed=True)
