"""
A subscriber of the exchange's stream, with a loop of its own: what really comes over the wire.

It comes back whenever it is sent away. Nothing that the exchange says of itself enters it.
"""

import asyncio
import contextlib
import itertools
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, WSMsgType

_AGAIN_SECONDS = 0.05


@dataclass(slots=True)
class Subscriber:
    """
    What one subscriber has seen.

    Attributes:
        ids: By symbol: the ids of the trades, as they came.
        late_ms: Of each trade: from its event time to its coming.
        junk: Messages that are no trades.
        opened: How often it was let in.
        closed: How often it was sent away.
        refused: How often it was not let in.
    """

    url: str
    ids: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    late_ms: list[float] = field(default_factory=list)
    junk: list[str] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    refused: int = 0

    @property
    def trades(self) -> int:
        """How many trades have come."""
        return len(self.late_ms)

    @property
    def repeats(self) -> int:
        """How many trades came more than once."""
        return sum(len(ids) - len(set(ids)) for ids in self.ids.values())

    @property
    def steps_back(self) -> int:
        """How often a trade came after a later one of its symbol."""
        return sum(
            after < before for ids in self.ids.values() for before, after in itertools.pairwise(ids)
        )

    @property
    def holes(self) -> int:
        """How many ids between the first and the last did not come."""
        return sum(max(ids) - min(ids) + 1 - len(set(ids)) for ids in self.ids.values())

    async def listen(self) -> None:
        """Listen until cancelled."""
        async with ClientSession() as session:
            while True:
                try:
                    async with session.ws_connect(self.url) as socket:
                        self.opened += 1
                        await self._read(socket)
                        self.closed += 1
                except ClientError:
                    self.refused += 1
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _read(self, socket: ClientWebSocketResponse) -> None:
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            try:
                trade = json.loads(message.data)["data"]
                key, number, price = trade["s"], trade["t"], trade["p"]
                is_trade = isinstance(price, str) and number > 0
            except (ValueError, TypeError, KeyError, AttributeError):
                is_trade = False
            if not is_trade:
                self.junk.append(message.data)
                continue
            self.ids[key].append(number)
            self.late_ms.append(time.time() * 1000 - trade["T"])


@contextmanager
def subscribed(url: str) -> Iterator[Subscriber]:
    """Listen at *url* until the block ends."""
    subscriber = Subscriber(url)
    loop = asyncio.new_event_loop()
    listening = loop.create_task(subscriber.listen())

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(listening)
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield subscriber
    finally:
        loop.call_soon_threadsafe(listening.cancel)
        thread.join(10.0)
