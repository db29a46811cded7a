"""From rows to JSON."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
import pyarrow as pa

from query_api.census import Tally


def now() -> str:
    """Tell the time as all answers do: naive UTC, with microseconds."""
    return instant(datetime.now(UTC))


def instant(time: datetime) -> str:
    """Write a time: naive UTC, ISO, always with microseconds."""
    return time.replace(tzinfo=None).isoformat(timespec="microseconds")


def microsecond(value: int) -> str:
    """Write a time given in microseconds since 1970."""
    seconds, rest = divmod(value, 1_000_000)
    return instant(datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest))


def trades(rows: pa.Table) -> bytes:
    """Write *rows* as a JSON array."""
    return orjson.dumps([_trade(row) for row in rows.to_pylist()])


def _trade(row: dict[str, Any]) -> dict[str, Any]:
    row["timestamp"] = row["timestamp"].isoformat(timespec="microseconds")
    row["ingestion_timestamp"] = row["ingestion_timestamp"].isoformat(timespec="microseconds")
    # Through Python, not Arrow: the nearest double, so that equal decimals stay equal.
    row["price"] = float(row["price"])
    row["quantity"] = float(row["quantity"])
    row["trade_conditions"] = _parsed(row["trade_conditions"])
    row["vendor_data"] = _parsed(row["vendor_data"])
    return row


@lru_cache(maxsize=1024)
def _parsed(text: str | None) -> Any:
    """Turn the table's JSON text back into the record's list or map; other text stays as it is."""
    if text is None:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def symbol(name: str, exchange: str, tally: Tally) -> dict[str, Any]:
    """Describe what the table has of one symbol."""
    return {
        "symbol": name,
        "exchange": exchange,
        "trades": tally.count,
        "first_timestamp": microsecond(tally.first),
        "last_timestamp": microsecond(tally.last),
    }


def envelope(meta: Mapping[str, Any], data: bytes, extra: Mapping[str, Any]) -> bytes:
    """Wrap already written *data* up."""
    head = orjson.dumps({"success": True, "meta": meta})
    tail = orjson.dumps(extra)[1:] if extra else b"}"
    return b'%b,"data":%b%b%b' % (head[:-1], data, b"," if extra else b"", tail)


def problem(code: str, reason: str, correlation_id: str) -> dict[str, Any]:
    """Say what went wrong."""
    return {
        "success": False,
        "code": code,
        "reason": reason,
        "meta": {"correlation_id": correlation_id, "timestamp": now()},
    }


def correlation_id() -> str:
    """Make an id by which an answer is found in the log."""
    return uuid.uuid4().hex
