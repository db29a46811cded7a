"""Filling gaps from the exchange's history, by id, page by page.

    ids missing in the history           looked for twice, then counted as lost and passed over
    entry that is no trade               counted; it is a missing id
    number that TradeV2 cannot hold      counted, logged and passed over
    id already passed on                 skipped

Whoever asks holds the symbol's lock, so its order has one author.
"""

import asyncio
import logging
from typing import Protocol

from binance_stream.codec import UnusableTradeError
from binance_stream.feed import PAGE
from binance_stream.health import Health
from binance_stream.outlet import Outlet
from binance_stream.seldom import Seldom
from binance_stream.sequence import Judgement, Sequence
from binance_stream.trade import MalformedTradeError, Trade, from_history

log = logging.getLogger(__name__)

_SECOND_LOOK_SECONDS = 0.5


class History(Protocol):
    """The exchange's memory; `Feed` is one."""

    async def history(self, symbol: str, from_id: int, limit: int) -> list[object]:
        """Return up to *limit* trades of *symbol*, ascending from *from_id*."""


class Backfill:
    """Passes on what the history has beyond a symbol's last trade."""

    def __init__(
        self,
        history: History,
        sequence: Sequence,
        outlet: Outlet,
        health: Health,
        bugs: frozenset[str],
    ) -> None:
        """Read *history* and write through *outlet*."""
        self._history = history
        self._sequence = sequence
        self._outlet = outlet
        self._health = health
        self._bugs = bugs
        self._seldom = Seldom(log)

    async def fill(self, symbol: str, until: int | None) -> list[int]:
        """Pass on the history up to *until* or its end; return the first event time passed on.

        Raises:
            FeedError: The history does not answer.
            SymbolRefusedError: It does not know *symbol*.
            DeliveryFailedError: The topic cannot be written any more.
        """
        if "source-no-gap-fill" in self._bugs:
            if until is not None:
                self._sequence.advance(symbol, until)
            return []
        before = self._last(symbol)
        oldest = await self._pages(symbol, until)
        if oldest:
            self._health.counts.gaps_filled += 1
            text = f"{symbol}: {before + 1}..{self._last(symbol)} came from the history"
            self._seldom.say(logging.INFO, f"filled {symbol}", text)
        return oldest

    async def _pages(self, symbol: str, until: int | None) -> list[int]:
        oldest: list[int] = []
        second_look = False
        while until is None or self._last(symbol) < until:
            last = self._last(symbol)
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
                text = f"{symbol}, in the history: {error}"
                self._seldom.say(logging.WARNING, "malformed", text)
                continue
            judgement = self._sequence.judge(symbol, trade.trade_id)
            if judgement is Judgement.DUPLICATE:
                continue
            if judgement is Judgement.GAP:
                if not believe_holes:
                    return False
                self._give_up_before(trade)
            await self._pass_on(trade)
            oldest[:] = oldest or [trade.time_ms]
        return True

    def _give_up_before(self, trade: Trade) -> None:
        symbol, first, end = trade.symbol, self._last(trade.symbol) + 1, trade.trade_id - 1
        self._health.counts.gap_lost += end + 1 - first
        text = f"{symbol}: LOST {first}..{end}: the exchange does not have them any more"
        self._seldom.say(logging.ERROR, f"lost {symbol}", text)
        self._sequence.advance(symbol, end)

    async def _pass_on(self, trade: Trade) -> None:
        try:
            await self._outlet.write(trade)
        except UnusableTradeError as error:
            self._health.counts.rejected += 1
            text = f"{trade.symbol} {trade.trade_id} is passed over: {error}"
            self._seldom.say(logging.ERROR, "rejected", text)
            self._sequence.advance(trade.symbol, trade.trade_id)
        else:
            self._health.counts.gap_records += 1

    def _last(self, symbol: str) -> int:
        last = self._sequence.last(symbol)
        if last is None:
            message = f"{symbol} has no last trade to go on from"
            raise LookupError(message)
        return last
