"""An exchange's control API over a clock and ids that the test moves."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from tests.fakes.servers import Answer, FakeServer, Request, serving
from tests.fakes.topic import START_MS, time_of

# What the fake of the topic says of every trade; quantities it leaves out.
PRICE, QUANTITY = "0.00000258", "1.00000000"
COUNTED = {
    "stall": "frames_withheld",
    "refuse": "connections_refused",
    "disconnect": "connections_closed",
    "disconnect_storm": "connections_closed",
    "malformed": "frames_malformed",
    "duplicate": "trades_duplicated",
    "reorder": "trades_reordered",
    "delay": "trades_delayed",
    "burst": "trades_added",
}


class FakeExchange:
    """
    What was emitted, and which orders to misbehave are in force.

    Attributes:
        last_ids: By symbol; may be changed at any time.
        now: Its clock; at first a second after the newest trade.
        life: Which process it is.
        orders: Those in force, by tag; each look at them counts an effect.
        over: Tags that were taken back.
        counts: Effects since it was started.
        goes_on: Whether each question for the ledger finds one trade more of the first symbol.
        retained_from_id: The oldest trade of every symbol that can still be asked for.
        broken: How it fails to obey: ``ignores`` orders though it answers, ``idles`` though it
            lists them, ``clings`` to them.
    """

    def __init__(self, last_ids: dict[str, int]) -> None:
        """Trade nothing by itself."""
        self.last_ids = last_ids
        self.rate = 100.0
        self.now = time_of(max(last_ids.values(), default=0)) + timedelta(seconds=1)
        self.life = 1
        self.orders: dict[str, dict[str, Any]] = {}
        self.over: set[str] = set()
        self.counts = dict.fromkeys(COUNTED.values(), 0)
        self.goes_on = False
        self.retained_from_id = 1
        self.broken = ""
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
        if request.path.startswith("/faults"):
            return self._faults(request)
        if request.path == "/trades":
            return self._trades(**request.query)
        newest = self._newest_at(request.query.get("at_ms"))
        symbols = {
            symbol: self._symbol(min(last, newest)) for symbol, last in self.last_ids.items()
        }
        if self.goes_on:
            self.last_ids[next(iter(self.last_ids))] += 1
        return 200, {"schema": 1, "seed": 7, "now_ms": self._now_ms(), "symbols": symbols}

    def _newest_at(self, at_ms: str | None) -> int:
        """The highest id that any symbol can have had then."""
        return max(0, (int(at_ms) - START_MS) // 10) if at_ms else 1 << 62

    def restart(self) -> None:
        """Begin a new life, without orders."""
        self.life += 1
        self.orders.clear()
        self.over.clear()
        self.counts = dict.fromkeys(self.counts, 0)

    def _now_ms(self) -> int:
        return int(self.now.timestamp() * 1000)

    def _faults(self, request: Request) -> Answer:
        tag = request.path.removeprefix("/faults").strip("/")
        if request.method == "PUT":
            if tag in self.over:
                return 409, {"reason": f"tag {tag} is over; take another"}
            if self.broken != "ignores":
                self.orders[tag] = {**request.json, "counts": {}}
            return 200, {"in_force": True}
        if request.method == "DELETE":
            self.over.add(tag)
            if self.broken != "clings":
                self.orders.pop(tag, None)
            return 200, {"in_force": False}
        for order in self.orders.values():
            self._carry_out(order)
        return 200, {
            "now_ms": self._now_ms(),
            "born_ms": self.life,
            "in_force": self.orders,
            "ended": {tag: {"why": "taken back"} for tag in self.over},
            "counts": self.counts,
        }

    def _trades(self, symbol: str, from_id: str, limit: str) -> Answer:
        if symbol not in self.last_ids:
            return 404, {"reason": f"symbol={symbol!r} is not traded here"}
        first_id = max(int(from_id), self.retained_from_id)
        ids = range(first_id, min(first_id + int(limit), self.last_ids[symbol] + 1))
        return 200, {
            "schema": 1,
            "symbol": symbol,
            "first_id": first_id,
            "time_ms": [START_MS + 10 * each for each in ids],
            "price": [PRICE for _ in ids],
            "quantity": [QUANTITY for _ in ids],
            "side": ["BUY" for _ in ids],
        }

    def _carry_out(self, order: dict[str, Any]) -> None:
        if self.broken == "idles":
            return
        counted = COUNTED[order["kind"]]
        self.counts[counted] += 1
        order["counts"] = {counted: order["counts"].get(counted, 0) + 1}

    def _symbol(self, last: int) -> dict[str, Any]:
        first = START_MS + 10 * self.retained_from_id if last else None
        return {
            "first_id": 1,
            "last_id": last,
            "last_time_ms": START_MS + 10 * last if last else None,
            "retained_from_id": self.retained_from_id if last else None,
            "retained_from_time_ms": first,
        }


@contextmanager
def fake_exchange(**last_ids: int) -> Iterator[FakeExchange]:
    """An exchange that emitted so much, until the block ends."""
    fake = FakeExchange(dict(last_ids))
    with serving(fake.answer) as server:
        fake.server = server
        yield fake
