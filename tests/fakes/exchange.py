"""An exchange's control API over a clock and ids that the test moves."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from tests.fakes.servers import Answer, FakeServer, Request, serving
from tests.fakes.topic import START_MS, time_of


class FakeExchange:
    """
    What was emitted.

    Attributes:
        last_ids: By symbol; may be changed at any time.
        now: Its clock; at first a second after the newest trade.
    """

    def __init__(self, last_ids: dict[str, int]) -> None:
        """Trade nothing by itself."""
        self.last_ids = last_ids
        self.rate = 100.0
        self.now = time_of(max(last_ids.values(), default=0)) + timedelta(seconds=1)
        self.server: FakeServer

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.server.url

    @property
    def requests(self) -> list[Request]:
        """What it was asked."""
        return self.server.requests

    @staticmethod
    def time_of(sequence: int) -> datetime:
        """The event time of a trade."""
        return time_of(sequence)

    def answer(self, request: Request) -> Answer:
        """The control API."""
        if request.path == "/rate":
            if request.method == "PUT":
                self.rate = float(request.json["trades_per_second"])
            return 200, {"trades_per_second": self.rate}
        if request.path == "/health":
            return 200, {"status": "healthy", "rate": self.rate, "clients": 1}
        symbols = {symbol: self._symbol(last) for symbol, last in self.last_ids.items()}
        now_ms = int(self.now.timestamp() * 1000)
        return 200, {"schema": 1, "seed": 7, "now_ms": now_ms, "symbols": symbols}

    def _symbol(self, last: int) -> dict[str, Any]:
        first = START_MS + 10 if last else None
        return {
            "first_id": 1,
            "last_id": last,
            "last_time_ms": START_MS + 10 * last if last else None,
            "retained_from_id": 1 if last else None,
            "retained_from_time_ms": first,
        }


@contextmanager
def fake_exchange(**last_ids: int) -> Iterator[FakeExchange]:
    """An exchange that emitted so much, until the block ends."""
    fake = FakeExchange(dict(last_ids))
    with serving(fake.answer) as server:
        fake.server = server
        yield fake
