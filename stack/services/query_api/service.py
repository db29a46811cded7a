"""
What the routes call: answers as bytes, or the reason why there is none.

Here is the one place that decides what a view may be used for: `Service.standing`. Any view that
was ever confirmed is answered from; the answer says how old it is, and from when on that is much.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from http import HTTPStatus
from itertools import count
from typing import Any, Final

import orjson
import pyarrow as pa

from query_api import answers, metrics
from query_api.dependencies import Dependency
from query_api.desk import ANSWER_SECONDS, Desk
from query_api.follower import Follower
from query_api.lake import UnreadableTableError
from query_api.parameters import TradesQuery
from query_api.queries import (
    Archive,
    NotReadyError,
    Page,
    TooSlowError,
    from_memory,
    is_known,
)
from query_api.refusals import Code, RefusedError
from query_api.view import Answer, Standing, View

VERSION: Final = "1.0.0"
_PAGES_REMEMBERED: Final = 64
_ROWS_REMEMBERED: Final = 1_000
_ROWS_AT_ONCE: Final = 1_000
"""So many rows are written in the event loop, which takes 3 ms; more of them beside it."""

_BACK_EVERY: Final = 10
"""Only with the bug on purpose."""

Written = tuple[bytes, int, int | None]


class Service:
    """Everything behind the routes."""

    def __init__(
        self,
        follower: Follower,
        dependencies: Sequence[Dependency],
        history: Callable[[], list[dict[str, Any]]],
        clock: Callable[[], float] = time.monotonic,
        *,
        bugs: Collection[str] = (),
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        """
        Answer from *follower*.

        Args:
            follower: Has the newest view.
            dependencies: Told of by ``/health``.
            history: Reads the table's snapshots, newest first.
            clock: Monotonic.
            bugs: Told of by ``/health``.
            seconds: How long who asks may be kept waiting for the store or the catalog.
        """
        self._follower = follower
        self._dependencies = dependencies
        self._history = history
        self._clock = clock
        self._bugs = sorted(bugs)
        self._asked = count(1)
        self._seconds = seconds
        self._archive = Archive(clock)
        self._scans = Desk("reading of older data files", 2, seconds)
        # Apart from the others: a catalog that hangs keeps nobody from the store.
        self._lists = Desk("reading of the snapshots", 1, seconds)
        self._writers = Desk("writing of large answers", 1, seconds)
        self._pages: OrderedDict[tuple[object, ...], Written] = OrderedDict()

    def standing(self) -> Standing:
        """
        Get the view that answers are made from, and how it stands with it.

        Raises:
            RefusedError: There is none yet.
        """
        now, confirmed = self._clock(), self._follower.confirmed
        reason = self._follower.doubt(confirmed, now)
        if confirmed is None:
            raise RefusedError(Code.NO_DATA, reason)
        if "api-goes-back" in self._bugs and next(self._asked) % _BACK_EVERY == 0:
            confirmed = replace(confirmed, view=self._follower.view_before or confirmed.view)
        return Standing(confirmed, max(0.0, now - confirmed.at), reason)

    async def trades(self, query: TradesQuery, correlation_id: str) -> Answer:
        """
        Answer ``/v1/trades``.

        Raises:
            RefusedError: With the reason.
        """
        standing = self.standing()
        data, count, total = await self._page(standing, query)
        more = count == query.limit if total is None else query.offset + count < total
        pagination = {
            "limit": query.limit,
            "offset": query.offset,
            "total": total,
            "has_more": more,
        }
        return self._answer(standing, correlation_id, data, pagination)

    async def _page(self, standing: Standing, query: TradesQuery) -> Written:
        view, wanted = standing.confirmed.view, query.wanted()
        key = (view.snapshot_id, view.uncounted, wanted, query.limit, query.offset)
        if remembered := self._pages.get(key):
            return remembered
        if is_known(view, wanted) is False:
            raise _unknown(standing, query)
        page = from_memory(view, wanted, query.offset, query.limit)
        if page is None:
            page = await self._scan(view, query)
        if page.rows.num_rows > _ROWS_AT_ONCE:
            data = await self._writers.do(answers.trades, page.rows)
        else:
            data = answers.trades(page.rows)
        made = (data, page.rows.num_rows, page.total)
        if query.limit <= _ROWS_REMEMBERED:
            self._pages[key] = made
        if len(self._pages) > _PAGES_REMEMBERED:
            self._pages.popitem(last=False)
        return made

    async def _scan(self, view: View, query: TradesQuery) -> Page:
        wanted, deadline = query.wanted(), self._clock() + self._seconds
        try:
            return await self._scans.do(
                self._archive.page, view, wanted, query.offset, query.limit, deadline
            )
        except TooSlowError:
            reason = f"reading took longer than {self._seconds:g} s; ask for a shorter range"
            raise RefusedError(Code.TOO_SLOW, reason) from None
        except NotReadyError as error:
            raise RefusedError(Code.NOT_READY, str(error)) from error
        except (OSError, pa.ArrowException, UnreadableTableError) as error:
            reason = f"data files cannot be read: {type(error).__name__}: {error}"
            raise RefusedError(Code.STORE, reason) from error

    def symbols(self, correlation_id: str) -> Answer:
        """
        Answer ``/v1/symbols``.

        Raises:
            RefusedError: With the reason.
        """
        standing = self._counted()
        totals = standing.confirmed.view.totals
        data = [answers.symbol(*key, tally) for key, tally in sorted(totals.items())]
        return self._answer(standing, correlation_id, orjson.dumps(data))

    def stats(self, correlation_id: str) -> Answer:
        """
        Answer ``/v1/stats``.

        Raises:
            RefusedError: With the reason.
        """
        standing = self._counted()
        data = _stats(standing.confirmed.view)
        return self._answer(standing, correlation_id, orjson.dumps(data))

    async def snapshots(self, limit: int, correlation_id: str) -> Answer:
        """
        Answer ``/v1/snapshots``.

        Raises:
            RefusedError: With the reason.
        """
        standing = self.standing()
        try:
            known = await self._lists.do(self._history)
        except RefusedError:
            raise
        except Exception as error:
            reason = f"the snapshots cannot be read: {type(error).__name__}: {error}"
            raise RefusedError(Code.CATALOG, reason) from error
        pagination = {
            "limit": limit,
            "offset": 0,
            "total": len(known),
            "has_more": len(known) > limit,
        }
        return self._answer(standing, correlation_id, orjson.dumps(known[:limit]), pagination)

    def _answer(
        self,
        standing: Standing,
        correlation_id: str,
        data: bytes,
        pagination: dict[str, Any] | None = None,
    ) -> Answer:
        # Asked again: making the answer may have taken a while.
        age = max(0.0, self._clock() - standing.confirmed.at)
        standing = Standing(standing.confirmed, age, standing.reason)
        extra = {"pagination": pagination} if pagination else {}
        return Answer(answers.envelope(standing.meta(correlation_id), data, extra), standing)

    def health(self) -> tuple[HTTPStatus, bytes]:
        """Answer ``/health``: from what is known, without asking anybody."""
        now, confirmed = self._clock(), self._follower.confirmed
        readings = [one.read(now) for one in self._dependencies]
        unwell = [reading.name for reading in readings if not reading.healthy]
        doubt = self._follower.doubt(confirmed, now)
        told = [f"unwell: {', '.join(unwell)}"] if unwell else []
        status = "unhealthy" if confirmed is None else "degraded" if told or doubt else "healthy"
        if "api-always-healthy" in self._bugs:
            status, told, doubt = "healthy", [], ""
        body = {
            "status": status,
            "version": VERSION,
            "timestamp": answers.now(),
            "message": "; ".join([*told, doubt] if doubt else told),
            "confirmed_seconds_ago": confirmed and round(now - confirmed.at, 3),
            "bugs": self._bugs,
            "dependencies": [_told(asdict(reading)) for reading in readings],
        }
        code = HTTPStatus.OK if confirmed else HTTPStatus.SERVICE_UNAVAILABLE
        return code, orjson.dumps(body)

    def gauge(self) -> None:
        """Bring the gauges up to date."""
        confirmed = self._follower.confirmed
        metrics.SNAPSHOT_AGE.set(self._clock() - confirmed.at if confirmed else float("inf"))
        metrics.WINDOW_ROWS.set(len(confirmed.view.window) if confirmed else 0)

    def _counted(self) -> Standing:
        standing = self.standing()
        view = standing.confirmed.view
        if view.uncounted:
            reason = f"{view.uncounted} of {len(view.files)} data files are still to be read"
            raise RefusedError(Code.NOT_READY, reason)
        return standing


def _unknown(standing: Standing, query: TradesQuery) -> RefusedError:
    """Say that there is no such symbol; of a view that may be behind, that it cannot be known."""
    what = f"{query.symbol or 'any symbol'} on {query.exchange or 'any exchange'}"
    if not standing.reason:
        return RefusedError(Code.UNKNOWN_SYMBOL, f"the table never had a trade of {what}")
    as_of = answers.instant(standing.confirmed.as_of)
    reason = f"the table had no trade of {what} as of {as_of}; since then {standing.reason}"
    return RefusedError(Code.STALE, reason)


def _stats(view: View) -> dict[str, Any]:
    tallies = view.totals.values()
    last = max((tally.last for tally in tallies), default=None)
    first = min((tally.first for tally in tallies), default=None)
    since = view.window.complete_since
    return {
        "trades": view.rows,
        "symbols": len(view.totals),
        "first_timestamp": None if first is None else answers.microsecond(first),
        "last_timestamp": None if last is None else answers.microsecond(last),
        "last_age_seconds": None if last is None else round(time.time() - last / 1e6, 3),
        "data_files": len(view.files),
        "committed_at": view.committed_at and answers.instant(view.committed_at),
        "rows_in_memory": len(view.window),
        "in_memory_since": None if since is None else answers.microsecond(since),
    }


def _told(reading: dict[str, Any]) -> dict[str, Any]:
    healthy = reading.pop("healthy")
    return {"name": reading.pop("name"), "status": "healthy" if healthy else "unhealthy", **reading}
