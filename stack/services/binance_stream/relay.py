"""From what the exchange says to what is written: order, gaps, and everything malformed.

    live message is no trade             counted; the next trade reveals the gap
    symbol nobody asked for              counted, dropped
    id already passed on                 counted, dropped
    id beyond the next                   the gap is fetched by id first, then passed on in order
    id beyond the exchange's own history counted, dropped: such an id is not believed, or it
                                         would turn all true ones into repeats
    more than eight decimals             rounded, the raw text kept in the record, counted
    number that TradeV2 cannot hold      treated as a gap: the history may know better
    event time far from the clock here   counted, passed on: the exchange says when it traded

Everything that moves a symbol's sequence happens under its lock, so its order has one author.
"""

import asyncio
import logging
import math
import time
from collections.abc import Iterable

from binance_stream.backfill import Backfill, History
from binance_stream.codec import Codec, UnusableTradeError
from binance_stream.feed import FeedError, SymbolRefusedError
from binance_stream.health import Health
from binance_stream.outlet import Outlet, Writer
from binance_stream.seldom import Seldom
from binance_stream.sequence import Judgement, Sequence
from binance_stream.together import together
from binance_stream.trade import MalformedTradeError, Trade, from_frame

_WATCH_SECONDS = 1.0
_SILENT_SECONDS = 3.0
# A silent symbol is asked about every 3 to 4 s; one answer may be late.
_REST_SECONDS = 8.0
# Younger trades may still be on their way through the live stream.
_LATE_MS = 1_000
# A history that is behind the stream is not asked again with every trade that it lacks.
_BEHIND_SECONDS = 0.5
_ODD_MS = 60_000


class Relay:
    """Passes on every trade of its symbols, once, in order."""

    def __init__(
        self,
        history: History,
        sequence: Sequence,
        codec: Codec,
        writer: Writer,
        health: Health,
        bugs: frozenset[str] = frozenset(),
    ) -> None:
        """Go on where *sequence* stands."""
        self._sequence = sequence
        self._health = health
        self._outlet = Outlet(sequence, codec, writer, health)
        self._backfill = Backfill(history, sequence, self._outlet, health, bugs)
        self._locks = {symbol: asyncio.Lock() for symbol in sequence.symbols}
        self._heard: dict[str, float] = {}
        self._quiet_at: dict[str, float] = {}
        self._ask_at: dict[str, float] = {}
        self._seldom = Seldom(logging.getLogger(__name__))

    async def take(self, message: str | bytes) -> None:
        """Deal with one message of the live stream.

        Raises:
            FeedError: A gap could not be filled now.
            DeliveryFailedError: The topic cannot be written any more.
        """
        self._health.note_message()
        try:
            trade = from_frame(message)
        except MalformedTradeError as error:
            self._health.counts.malformed += 1
            self._warn("malformed", f"not a trade: {error}")
            return
        lock = self._locks.get(trade.symbol)
        if lock is None:
            self._health.counts.unknown_symbols += 1
            self._warn("unknown", f"nobody asked for {trade.symbol!r:.40}")
            return
        self._heard[trade.symbol] = time.monotonic()
        self._quiet_at.pop(trade.symbol, None)
        async with lock:
            await self._take_trade(trade)

    async def catch_up(self, symbols: Iterable[str]) -> int | None:
        """Pass on what the history has beyond the last known trade of *symbols*.

        Symbols never seen before are left to the live stream.

        Returns:
            The event time of the oldest trade passed on, if any.

        Raises:
            FeedError: The history does not answer.
            DeliveryFailedError: The topic cannot be written any more.
        """
        known = [symbol for symbol in symbols if self._sequence.last(symbol) is not None]
        # Side by side: what costs time is the way to the exchange and back, for every page.
        oldest = await together(*(self._catch_up_one(symbol) for symbol in known))
        return min((each for found in oldest for each in found), default=None)

    async def watch(self, symbols: Iterable[str]) -> None:
        """Ask the history about symbols the stream is silent on, until it knows better.

        Raises:
            FeedError: The stream withholds trades, or the history does not answer.
        """
        asked_at = dict.fromkeys(symbols, time.monotonic())
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            now = time.monotonic()
            if self._outlet.waiting:
                # It is not the stream that is silent: nobody reads it before Kafka has room.
                asked_at = dict.fromkeys(asked_at, now)
                continue
            silent = [
                symbol
                for symbol, asked in asked_at.items()
                if now - max(asked, self._heard.get(symbol, 0.0)) >= _SILENT_SECONDS
            ]
            asked_at |= dict.fromkeys(silent, now)
            oldest_ms = await self.catch_up(silent)
            if oldest_ms is not None and time.time() * 1000 - oldest_ms > _LATE_MS:
                message = f"the stream is silent on {', '.join(silent)}, the history is not"
                raise FeedError(message)
            if self._is_at_rest(asked_at, time.monotonic()):
                self._health.note_rest()

    def _is_at_rest(self, symbols: Iterable[str], now: float) -> bool:
        """Whether the history has just said of every symbol that there is nothing newer.

        A symbol never seen has no id to ask from; a topic that knows none proves nothing.
        """
        known = [symbol for symbol in symbols if self._sequence.last(symbol) is not None]
        return bool(known) and all(
            now - self._quiet_at.get(symbol, -math.inf) <= _REST_SECONDS for symbol in known
        )

    async def _catch_up_one(self, symbol: str) -> list[int]:
        try:
            async with self._locks[symbol]:
                found = await self._backfill.fill(symbol, None)
        except SymbolRefusedError as error:
            self._quiet_at.pop(symbol, None)
            self._health.counts.unknown_symbols += 1
            self._warn(f"refused {symbol}", f"refused: {error}")
            return []
        if not found:
            self._quiet_at[symbol] = time.monotonic()
        return found

    async def _take_trade(self, trade: Trade) -> None:
        symbol, trade_id = trade.symbol, trade.trade_id
        judgement = self._sequence.judge(symbol, trade_id)
        if judgement is Judgement.GAP and time.monotonic() >= self._ask_at.get(symbol, 0.0):
            judgement = await self._close_gap(symbol, trade_id)
        match judgement:
            case Judgement.NEXT:
                await self._pass_on(trade)
            case Judgement.DUPLICATE:
                self._health.note_repeat()
            case Judgement.GAP:
                self._health.counts.ahead += 1
                last = self._sequence.last(symbol)
                self._warn("ahead", f"{symbol} {trade_id}: the history ends at {last}")

    async def _close_gap(self, symbol: str, trade_id: int) -> Judgement:
        try:
            await self._backfill.fill(symbol, trade_id - 1)
        except SymbolRefusedError as error:
            message = f"a gap cannot be filled: {error}"
            raise FeedError(message) from error
        judgement = self._sequence.judge(symbol, trade_id)
        if judgement is Judgement.GAP:
            self._ask_at[symbol] = time.monotonic() + _BEHIND_SECONDS
        return judgement

    async def _pass_on(self, trade: Trade) -> None:
        try:
            await self._outlet.write(trade)
        except UnusableTradeError as error:
            self._health.counts.malformed += 1
            self._warn("unusable", f"{trade.symbol} {trade.trade_id}: {error}")
            return
        if abs(trade.time_ms - time.time() * 1000) > _ODD_MS:
            self._health.counts.odd_times += 1
            self._warn("time", f"more than a minute off the clock here: {trade}")

    def _warn(self, kind: str, text: str) -> None:
        self._seldom.say(logging.WARNING, kind, text)
