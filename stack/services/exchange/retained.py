"""What the retained trades say, by id and in columns: what an auditor compares records with."""

import asyncio
from collections.abc import Mapping
from typing import Final

import orjson
from aiohttp import web

from exchange.content import content_of, decimal_text
from exchange.tape import Tape

MAX_LIMIT: Final = 10_000
# Deriving so many takes about 3 ms; between two slices the market trades.
_SLICE: Final = 500
_LARGEST_ID: Final = 2**63 - 1
_SIDES: Final = ("BUY", "SELL")


class Retained:
    """The trades on *tape* under *seed*."""

    def __init__(self, seed: int, tape: Tape) -> None:
        """Read from *tape*; nothing is kept here."""
        self._seed = seed
        self._tape = tape

    async def trades(self, request: web.Request) -> web.Response:
        """Answer `GET /trades?symbol=BTCUSDT&from_id=1&limit=10000`: contiguous ids, ascending.

        `first_id` is larger than asked where earlier trades are no longer retained; the columns
        are empty where there is nothing.
        """
        symbol = request.query.get("symbol", "")
        try:
            from_id = _whole(request.query, "from_id", 0, _LARGEST_ID)
            limit = _whole(request.query, "limit", 1, MAX_LIMIT)
            history = self._tape.history(symbol)
        except ValueError as error:
            return _json({"reason": str(error)}, 400)
        except KeyError:
            return _json({"reason": f"symbol={symbol!r} is not traded here"}, 404)
        first_id = max(from_id, history.retained_from_id)
        times = [at_ms for _, at_ms in history.times(first_id, limit)]
        content = await self._content(symbol, first_id, len(times))
        head = {"schema": 1, "symbol": symbol, "first_id": first_id, "time_ms": times}
        return _json({**head, **content})

    async def _content(self, symbol: str, first_id: int, count: int) -> dict[str, list[str]]:
        prices: list[str] = []
        quantities: list[str] = []
        sides: list[str] = []
        for start in range(0, count, _SLICE):
            for offset in range(start, min(start + _SLICE, count)):
                content = content_of(self._seed, symbol, first_id + offset)
                prices.append(decimal_text(content.price))
                quantities.append(decimal_text(content.quantity))
                sides.append(_SIDES[content.buyer_is_maker])
            await asyncio.sleep(0)
        return {"price": prices, "quantity": quantities, "side": sides}


def _whole(query: Mapping[str, str], name: str, least: int, most: int) -> int:
    text = query.get(name, "")
    if not (text.isascii() and text.isdecimal()) or not least <= int(text) <= most:
        message = f"{name}={text!r} is not a whole number within {least}..{most}"
        raise ValueError(message)
    return int(text)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
