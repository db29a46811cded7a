"""A query API with K2's contract, over trades that the test puts there."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from k2chaos.pipeline import Api
from tests.fakes.exchange import PRICE, QUANTITY
from tests.fakes.servers import Answer, FakeServer, Request, serving
from tests.fakes.topic import time_of

KEY = "the-right-key"


class FakeApi:
    """
    Trades, newest first.

    Attributes:
        trades: May be changed at any time.
        most: How many one request may ask for.
        is_end_included: Whether ``end_time`` itself belongs to the answer.
    """

    def __init__(self) -> None:
        """No trades yet."""
        self.trades: list[dict[str, Any]] = []
        self.most = 10_000
        self.is_end_included = True
        self.health: Answer = (200, {"status": "healthy"})
        self.server: FakeServer

    @property
    def api(self) -> Api:
        """What the pipeline file would say of it."""
        return Api(self.server.url, KEY)

    def put(self, symbol: str, *sequences: int, at: datetime | None = None) -> None:
        """Show trades, all of one time or each of its own."""
        self.trades += [
            {
                "trade_id": f"BINANCE-{sequence}",
                "symbol": symbol,
                "exchange": "BINANCE",
                "timestamp": (at or time_of(sequence)).replace(tzinfo=None).isoformat(),
                "side": "BUY",
                "price": float(PRICE),
                "quantity": float(QUANTITY),
            }
            for sequence in sequences
        ]

    def answer(self, request: Request) -> Answer:
        """The API."""
        if request.path == "/health":
            return self.health
        key = request.headers.get("x-api-key")
        if key != KEY:
            return (401 if key is None else 403), {"detail": "Invalid API key"}
        return self._trades(request.query)

    def _trades(self, query: dict[str, str]) -> Answer:
        limit = min(int(query["limit"]), self.most)
        found = [trade for trade in self.trades if self._is_asked_for(trade, query)]
        found.sort(key=lambda trade: datetime.fromisoformat(trade["timestamp"]), reverse=True)
        return 200, {
            "success": True,
            "meta": {"correlation_id": "x", "timestamp": "2026-01-01T00:00:00"},
            "data": found[:limit],
            "pagination": {
                "limit": limit,
                "offset": 0,
                "total": len(found),
                "has_more": len(found) > limit,
            },
        }

    def _is_asked_for(self, trade: dict[str, Any], query: dict[str, str]) -> bool:
        moment = datetime.fromisoformat(trade["timestamp"])
        start = datetime.fromisoformat(query.get("start_time", "0001-01-01"))
        end = datetime.fromisoformat(query.get("end_time", "9999-01-01"))
        is_before_end = moment <= end if self.is_end_included else moment < end
        return (
            query.get("symbol", trade["symbol"]) == trade["symbol"]
            and start <= moment
            and is_before_end
        )


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    """An API without trades until the block ends."""
    fake = FakeApi()
    with serving(fake.answer) as server:
        fake.server = server
        yield fake
