"""One trade as the exchange tells it, and the only reading of the exchange's two formats.

Prices and quantities stay the strings they came as; what cannot be a trade raises here, with
the reason, and goes no further.
"""

from typing import Any, NamedTuple

import orjson

_LARGEST_LONG = 2**63 - 1
# Event times become microseconds in a 64-bit field.
_LATEST_MS = _LARGEST_LONG // 1000


class MalformedTradeError(ValueError):
    """What the exchange sent is not a trade."""


class Trade(NamedTuple):
    """A trade of one symbol; ids are contiguous per symbol."""

    symbol: str
    trade_id: int
    price: str
    quantity: str
    time_ms: int
    buyer_is_maker: bool


def from_frame(text: str | bytes) -> Trade:
    """Read a message of the combined stream.

    Raises:
        MalformedTradeError: It is no trade.
    """
    try:
        data = orjson.loads(text)["data"]
        if data["e"] != "trade":
            _reject(f"event {data['e']!r:.40}")
        return _checked(data["s"], data["t"], data["p"], data["q"], data["T"], data["m"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        message = f"{type(error).__name__}: {error!s:.100}"
        raise MalformedTradeError(message) from None


def from_history(symbol: str, item: Any) -> Trade:
    """Read one entry of `historicalTrades`.

    Raises:
        MalformedTradeError: It is no trade.
    """
    try:
        return _checked(
            symbol, item["id"], item["price"], item["qty"], item["time"], item["isBuyerMaker"]
        )
    except (KeyError, TypeError) as error:
        message = f"{type(error).__name__}: {error!s:.100}"
        raise MalformedTradeError(message) from None


def _checked(
    symbol: Any, trade_id: Any, price: Any, quantity: Any, time_ms: Any, buyer_is_maker: Any
) -> Trade:
    if type(trade_id) is not int or not 0 <= trade_id <= _LARGEST_LONG:
        _reject(f"id {trade_id!r:.40}")
    if type(time_ms) is not int or not 0 < time_ms <= _LATEST_MS:
        _reject(f"time {time_ms!r:.40}")
    if type(buyer_is_maker) is not bool:
        _reject(f"m {buyer_is_maker!r:.40}")
    if not (type(symbol) is str and type(price) is str and type(quantity) is str):
        _reject("symbol, price or quantity is not a string")
    return Trade(symbol, trade_id, price, quantity, time_ms, buyer_is_maker)


def _reject(reason: str) -> None:
    raise MalformedTradeError(reason)
