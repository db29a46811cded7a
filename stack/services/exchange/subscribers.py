"""Who watches the market, and how a trade reaches all of them for the price of one.

A trade becomes a websocket frame once; each tick's frames are joined once per distinct
subscription and handed to every client's transport as they are. Server frames are unmasked
and uncompressed, so they can be shared, and whole frames may interleave with the pings that
aiohttp writes to the same transport. A client that does not keep up is cut off, not buffered.
While the exchange is ordered to misbehave, messages take the way through `disturbance` instead.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from exchange.content import content_of, decimal_text
from exchange.disturbance import Disturbance, Frames
from exchange.faults import Faults
from exchange.segment import Row

log = logging.getLogger(__name__)

MAX_BACKLOG_BYTES = 4 * 1024 * 1024

_TEXT_FRAME = 0x81
_SHORT = 125
_TRADE = (
    b'{"stream":"%b@trade","data":{"e":"trade","E":%d,"s":"%b","t":%d,"p":"%b","q":"%b",'
    b'"T":%d,"m":%b,"M":true}}'
)


def trade_message(seed: int, symbol: str, trade_id: int, at_ms: int) -> bytes:
    """Write one trade as Binance's combined stream does."""
    content = content_of(seed, symbol, trade_id)
    return _TRADE % (
        symbol.lower().encode("ascii"),
        at_ms,
        symbol.encode("ascii"),
        trade_id,
        decimal_text(content.price).encode("ascii"),
        decimal_text(content.quantity).encode("ascii"),
        at_ms,
        b"true" if content.buyer_is_maker else b"false",
    )


def text_frame(message: bytes) -> bytes:
    """Wrap a message of up to 64 KiB into an unmasked websocket text frame."""
    length = len(message)
    if length <= _SHORT:
        return bytes((_TEXT_FRAME, length)) + message
    return bytes((_TEXT_FRAME, 126)) + length.to_bytes(2, "big") + message


class Subscribers:
    """The connected clients, by what they subscribed to."""

    def __init__(self, seed: int, faults: Faults | None = None) -> None:
        """Begin with nobody; *faults* say how to misbehave."""
        self._seed = seed
        self._faults = Faults() if faults is None else faults
        self._disturbance = Disturbance(self._faults, self._deliver)
        self._clients: dict[frozenset[str], set[asyncio.Transport]] = {}
        self.cut_off = 0

    def __len__(self) -> int:
        """Return how many clients are connected."""
        return sum(len(clients) for clients in self._clients.values())

    def add(self, symbols: frozenset[str], client: asyncio.Transport) -> None:
        """Let *client* see the trades of *symbols* from now on."""
        self._clients.setdefault(symbols, set()).add(client)

    def remove(self, symbols: frozenset[str], client: asyncio.Transport) -> None:
        """Forget *client*."""
        clients = self._clients.get(symbols, set())
        clients.discard(client)
        if not clients:
            self._clients.pop(symbols, None)

    def publish(self, rows: Iterable[Row]) -> None:
        """Send the trades of *rows* to everybody who asked for them."""
        if not self._clients:
            return
        if self._faults:
            self._disturb(rows)
            return
        frames = {row.symbol: self._frames(row) for row in rows}
        for symbols, clients in self._clients.items():
            self._send(_select(frames, symbols), clients)

    def _disturb(self, rows: Iterable[Row]) -> None:
        # What nobody asked for is not sent, so it cannot be withheld or broken either.
        wanted = frozenset().union(*self._clients)
        for row in rows:
            if row.symbol in wanted:
                self._disturbance.pass_on(row.symbol, self._messages(row))

    def _deliver(self, symbol: str, messages: Frames) -> None:
        data = b"".join(map(text_frame, messages))
        for symbols, clients in self._clients.items():
            if symbol in symbols:
                self._send(data, clients)

    def _frames(self, row: Row) -> bytes:
        return b"".join(map(text_frame, self._messages(row)))

    def _messages(self, row: Row) -> Frames:
        symbol, first_id, count, at_ms = row
        ids = range(first_id, first_id + count)
        return [trade_message(self._seed, symbol, each, at_ms) for each in ids]

    def _send(self, data: bytes, clients: Iterable[asyncio.Transport]) -> None:
        if not data:
            return
        for client in clients:
            if client.is_closing():
                continue
            backlog = client.get_write_buffer_size()
            if backlog > MAX_BACKLOG_BYTES:
                self.cut_off += 1
                log.warning("a client is %d bytes behind: cut off", backlog)
                client.abort()
            else:
                client.write(data)


def _select(frames: Mapping[str, bytes], symbols: frozenset[str]) -> bytes:
    return b"".join(data for symbol, data in frames.items() if symbol in symbols)
