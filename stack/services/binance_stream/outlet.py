"""Where a trade leaves: encoded, into the writer, and its symbol's sequence moved on."""

import logging
from typing import Protocol

from binance_stream.codec import Codec
from binance_stream.health import Health
from binance_stream.seldom import Seldom
from binance_stream.sequence import Sequence
from binance_stream.trade import Trade


class Writer(Protocol):
    """Where records go, in order; `TopicWriter` is one."""

    @property
    def full(self) -> bool:
        """Whether `room` would wait."""

    async def room(self) -> None:
        """Wait until there is room."""

    def write(self, symbol: str, value: bytes, event_ms: int) -> None:
        """Take one record; never waits."""


class Outlet:
    """Writes the trade that is next in its symbol's sequence."""

    def __init__(self, sequence: Sequence, codec: Codec, writer: Writer, health: Health) -> None:
        """Move *sequence* on with every trade written."""
        self._sequence = sequence
        self._codec = codec
        self._writer = writer
        self._health = health
        self._seldom = Seldom(logging.getLogger(__name__))
        self._waiting = 0

    @property
    def waiting(self) -> bool:
        """Whether a trade waits for room, and so nobody reads the stream."""
        return self._waiting > 0

    async def write(self, trade: Trade) -> None:
        """Wait for room, then write *trade*.

        Raises:
            UnusableTradeError: TradeV2 cannot represent it; the sequence has not moved.
            DeliveryFailedError: The topic cannot be written any more.
        """
        if self._writer.full:
            self._waiting += 1
            try:
                await self._writer.room()
            finally:
                self._waiting -= 1
        value, rounded = self._codec.encode(trade)
        self._writer.write(trade.symbol, value, trade.time_ms)
        # Nothing is awaited between these two: no cancellation can part them.
        self._sequence.advance(trade.symbol, trade.trade_id)
        if rounded:
            self._health.counts.rounded += 1
            self._seldom.say(logging.WARNING, "rounded", f"rounded to eight decimals: {trade}")
