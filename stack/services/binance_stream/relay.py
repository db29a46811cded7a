"""From what the exchange says to what is written: order, gaps, and everything malformed.

    live message is no trade             counted; the next trade reveals the gap
    symbol nobody asked for              counted, dropped
    id already passed on                 counted, dropped
    id beyond the next                   the gap is fetched by id first, then passed on in order
    id beyond the exchange's own history counted, dropped: such an id is not believed, or it
                                         would turn all true ones into repeats
    more than eight decimals             rounded, the raw text kept in the record, counted
    number that TradeV2 cannot hold      live: treated as a gap; in the history too: counted,
                                         logged and passed over
    ids missing in the history           looked for twice, then counted as lost and passed over

Everything that moves a sequence happens under one lock, so a symbol's order has one author.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Protocol

from binance_stream.codec import Codec, UnusableTradeError
from binance_stream.feed import PAGE, FeedError, SymbolRefusedError
from binance_stream.health import Health
from binance_stream.sequence import Judgement, Sequence
from binance_stream.trade import MalformedTradeError, Trade, from_frame, from_history

log = logging.getLogger(__name__)

_SECOND_LOOK_SECONDS = 0.5
_WATCH_SECONDS = 1.0
_SILENT_SECONDS = 3.0
# Younger trades may still be on their way through the live stream.
_LATE_MS = 1_000


class History(Protocol):
    """The exchange's memory; `Feed` is one."""

    async def history(self, symbol: str, from_id: int, limit: int) -> list[object]:
        """Return up to *limit* trades of *symbol*, ascending from *from_id*."""


class Writer(Protocol):
    """Where records go, in order; `TopicWriter` is one."""

    @property
    def full(self) -> bool:
        """Whether `room` would wait."""

    async def room(self) -> None:
        """Wait until there is room."""

    def write(self, symbol: str, value: bytes, event_ms: int) -> None:
        """Take one record; never waits."""


class Relay:
    """Passes on every trade of its symbols, once, in order."""

    def __init__(
        self, history: History, sequence: Sequence, codec: Codec, writer: Writer, health: Health
    ) -> None:
        """Go on where *sequence* stands."""
        self._history = history
        self._sequence = sequence
        self._codec = codec
        self._writer = writer
        self._health = health
        self._lock = asyncio.Lock()
        self._heard: dict[str, float] = {}

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
            _warn_rarely(self._health.counts.malformed, f"not a trade: {error}")
            return
        self._heard[trade.symbol] = time.monotonic()
        async with self._lock:
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
        oldest: list[int] = []
        for symbol in symbols:
            if self._sequence.last(symbol) is None:
                continue
            try:
                async with self._lock:
                    oldest += await self._fill(symbol, None)
            except SymbolRefusedError as error:
                self._health.counts.unknown_symbols += 1
                _warn_rarely(self._health.counts.unknown_symbols, f"refused: {error}")
        return min(oldest, default=None)

    async def watch(self, symbols: Iterable[str]) -> None:
        """Ask the history about symbols the stream is silent on, until it knows better.

        Raises:
            FeedError: The stream withholds trades, or the history does not answer.
        """
        asked_at = dict.fromkeys(symbols, time.monotonic())
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            now = time.monotonic()
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

    async def _take_trade(self, trade: Trade) -> None:
        symbol, trade_id = trade.symbol, trade.trade_id
        judgement = self._sequence.judge(symbol, trade_id)
        if judgement is Judgement.GAP:
            judgement = await self._close_gap(symbol, trade_id)
        counts = self._health.counts
        match judgement:
            case Judgement.NEXT:
                await self._pass_on_live(trade)
            case Judgement.DUPLICATE:
                self._health.note_repeat()
            case Judgement.GAP:
                counts.ahead += 1
                last = self._sequence.last(symbol)
                _warn_rarely(counts.ahead, f"{symbol} {trade_id}: the history ends at {last}")
            case Judgement.UNKNOWN:
                counts.unknown_symbols += 1
                _warn_rarely(counts.unknown_symbols, f"nobody asked for {symbol!r:.40}")

    async def _close_gap(self, symbol: str, trade_id: int) -> Judgement:
        log.info("%s: fetching %s+1..%d", symbol, self._sequence.last(symbol), trade_id - 1)
        try:
            await self._fill(symbol, trade_id - 1)
        except SymbolRefusedError as error:
            message = f"a gap cannot be filled: {error}"
            raise FeedError(message) from error
        return self._sequence.judge(symbol, trade_id)

    async def _fill(self, symbol: str, until: int | None) -> list[int]:
        """Pass on the history up to *until* or its end; return the first event time passed on."""
        oldest: list[int] = []
        second_look = False
        before = self._health.counts.gap_records
        while (last := self._last(symbol)) != until:
            limit = PAGE if until is None else min(PAGE, until - last)
            page = await self._history.history(symbol, last + 1, limit)
            complete = await self._take_page(symbol, page, oldest, believe_holes=second_look)
            if not complete:
                second_look = True
                await asyncio.sleep(_SECOND_LOOK_SECONDS)
                continue
            second_look = False
            if len(page) < limit or self._last(symbol) == last:
                break
        passed_on = self._health.counts.gap_records - before
        if passed_on:
            self._health.counts.gaps_filled += 1
            last = self._last(symbol)
            log.info("%s: %d trades from the history, up to %d", symbol, passed_on, last)
        return oldest

    async def _take_page(
        self, symbol: str, page: list[object], oldest: list[int], *, believe_holes: bool
    ) -> bool:
        """Pass on a page; return False at a hole that is worth a second look."""
        for item in page:
            try:
                trade = from_history(symbol, item)
            except MalformedTradeError as error:
                self._health.counts.malformed += 1
                _warn_rarely(self._health.counts.malformed, f"{symbol}, in the history: {error}")
                continue
            judgement = self._sequence.judge(symbol, trade.trade_id)
            if judgement is Judgement.DUPLICATE:
                continue
            if judgement is Judgement.GAP:
                if not believe_holes:
                    return False
                self._give_up_before(trade)
            await self._pass_on_historical(trade)
            oldest[:] = oldest or [trade.time_ms]
        return True

    def _give_up_before(self, trade: Trade) -> None:
        last = self._last(trade.symbol)
        lost = trade.trade_id - 1 - last
        self._health.counts.gap_lost += lost
        log.error(
            "%s: LOST %d trades, %d..%d: the exchange does not have them any more",
            trade.symbol,
            lost,
            last + 1,
            trade.trade_id - 1,
        )
        self._sequence.advance(trade.symbol, trade.trade_id - 1)

    async def _pass_on_live(self, trade: Trade) -> None:
        try:
            await self._write(trade)
        except UnusableTradeError as error:
            self._health.counts.malformed += 1
            _warn_rarely(self._health.counts.malformed, f"{trade.symbol} {trade.trade_id}: {error}")

    async def _pass_on_historical(self, trade: Trade) -> None:
        try:
            await self._write(trade)
        except UnusableTradeError as error:
            self._health.counts.rejected += 1
            log.error("%s %d is passed over: %s", trade.symbol, trade.trade_id, error)
            self._sequence.advance(trade.symbol, trade.trade_id)
        else:
            self._health.counts.gap_records += 1

    async def _write(self, trade: Trade) -> None:
        if self._writer.full:
            await self._writer.room()
        value, rounded = self._codec.encode(trade)
        self._writer.write(trade.symbol, value, trade.time_ms)
        # Nothing is awaited between these two: no cancellation can part them.
        self._sequence.advance(trade.symbol, trade.trade_id)
        if rounded:
            self._health.counts.rounded += 1
            _warn_rarely(self._health.counts.rounded, f"rounded to eight decimals: {trade}")

    def _last(self, symbol: str) -> int:
        last = self._sequence.last(symbol)
        if last is None:
            message = f"{symbol} has no last trade to go on from"
            raise LookupError(message)
        return last


def _warn_rarely(count: int, text: str) -> None:
    """Warn of the first, second, fourth, eighth ... of a kind."""
    if count & (count - 1) == 0:
        log.warning("%s (number %d of its kind)", text, count)
