"""Stateful stand-ins for the exchange's history and the topic, and a relay between them."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

import orjson

from binance_stream.codec import Codec
from binance_stream.health import Health
from binance_stream.relay import Relay
from binance_stream.sequence import Sequence

SYMBOLS = ("AAAUSDT", "BBBUSDT")


class FakeExchange:
    """A history that ends at *newest*, begins at *oldest*, and may lack or garble some ids."""

    def __init__(self, newest: int = 0, oldest: int = 1) -> None:
        self.newest = newest
        self.oldest = oldest
        self.missing: set[int] = set()
        self.missing_once: set[int] = set()
        self.garbled: dict[int, dict[str, object]] = {}
        self.asked: list[tuple[str, int, int]] = []
        self.error: Exception | None = None
        self.time_ms = 1_700_000_000_000
        # Answers nobody before so many have asked.
        self.together = 0

    async def history(self, symbol: str, from_id: int, limit: int) -> list[object]:
        await asyncio.sleep(0)
        self.asked.append((symbol, from_id, limit))
        await until(lambda: len(self.asked) >= self.together)
        if self.error is not None:
            raise self.error
        gone, self.missing_once = self.missing | self.missing_once, set()
        start = max(from_id, self.oldest)
        return [
            self.item(trade_id)
            for trade_id in range(start, min(start + limit, self.newest + 1))
            if trade_id not in gone
        ]

    def item(self, trade_id: int) -> object:
        sound: dict[str, object] = {
            "id": trade_id,
            "price": "1.5",
            "qty": "2",
            "time": self.time_ms,
            "isBuyerMaker": False,
        }
        return sound | self.garbled.get(trade_id, {})


class FakeTopic:
    """Remembers what was written; waits for room when told to be full."""

    def __init__(self) -> None:
        self.ids: dict[str, list[int]] = defaultdict(list)
        self.full = False
        self.waited = 0
        self.stuck = False
        self._codec = Codec(1, SYMBOLS)

    async def room(self) -> None:
        self.waited += 1
        await asyncio.sleep(0)
        await until(lambda: not self.stuck)
        self.full = False

    def write(self, symbol: str, value: bytes, event_ms: int) -> None:
        assert event_ms
        trade_id = self._codec.trade_id(value)
        assert trade_id is not None
        self.ids[symbol].append(trade_id)


class Bench:
    """A relay between fakes."""

    def __init__(
        self, last: dict[str, int] | None = None, bugs: tuple[str, ...] = (), **exchange: int
    ) -> None:
        self.exchange = FakeExchange(**exchange)
        self.topic = FakeTopic()
        self.health = Health()
        self.sequence = Sequence(SYMBOLS, last or {})
        codec = Codec(1, SYMBOLS)
        self.relay = Relay(
            self.exchange, self.sequence, codec, self.topic, self.health, frozenset(bugs)
        )

    async def hear(self, *ids: int, symbol: str = "AAAUSDT", **changes: object) -> None:
        for trade_id in ids:
            self.exchange.newest = max(self.exchange.newest, trade_id)
            await self.relay.take(frame(trade_id, symbol, **changes))


def frame(trade_id: int, symbol: str = "AAAUSDT", **changes: object) -> bytes:
    data: dict[str, object] = {
        "e": "trade",
        "s": symbol,
        "t": trade_id,
        "p": "1.5",
        "q": "2",
        "T": 1_700_000_000_000,
        "m": False,
    }
    return orjson.dumps({"stream": "x", "data": data | changes})


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return when *condition* holds; fail when it does not within so many seconds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)
