"""
What the routes call: answers as bytes, or the reason why there is none.

Here is the one place that decides whether a view is fresh enough to be answered from:
`Service.confirmed`.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, Self

import orjson
import pyarrow as pa

from query_api import answers, metrics
from query_api.dependencies import Dependency
from query_api.follower import Confirmed, Follower, View
from query_api.parameters import TradesQuery
from query_api.queries import (
    Archive,
    NotReadyError,
    Page,
    TooSlowError,
    from_memory,
    is_known,
)

VERSION: Final = "1.0.0"
STALE_SECONDS: Final = 15.0
_SCAN_SECONDS: Final = 20.0
_SCANS_WAITING: Final = 8
_PAGES_REMEMBERED: Final = 64
_ROWS_REMEMBERED: Final = 1_000


class Code(StrEnum):
    """The kinds of refusal, each with its HTTP status."""

    NO_KEY = "no-key", HTTPStatus.UNAUTHORIZED
    WRONG_KEY = "wrong-key", HTTPStatus.FORBIDDEN
    UNKNOWN_SYMBOL = "unknown-symbol", HTTPStatus.NOT_FOUND
    NO_DATA = "no-data", HTTPStatus.SERVICE_UNAVAILABLE
    STALE = "stale", HTTPStatus.SERVICE_UNAVAILABLE
    NOT_READY = "not-ready", HTTPStatus.SERVICE_UNAVAILABLE
    BUSY = "busy", HTTPStatus.SERVICE_UNAVAILABLE
    TOO_SLOW = "too-slow", HTTPStatus.SERVICE_UNAVAILABLE
    STORE = "store", HTTPStatus.SERVICE_UNAVAILABLE
    CATALOG = "catalog", HTTPStatus.SERVICE_UNAVAILABLE

    status: HTTPStatus

    def __new__(cls, value: str, status: HTTPStatus) -> Self:
        """Make a member that is its text, and knows its status."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.status = status
        return member


class RefusedError(Exception):
    """There is no answer; ``code`` says of which kind the reason is."""

    def __init__(self, code: Code, reason: str) -> None:
        """Refuse for *reason*."""
        super().__init__(reason)
        self.code = code


class Service:
    """Everything behind the routes."""

    def __init__(
        self,
        follower: Follower,
        dependencies: Sequence[Dependency],
        history: Callable[[], list[dict[str, Any]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Answer from *follower*; *history* reads the table's snapshots, newest first."""
        self._follower = follower
        self._dependencies = dependencies
        self._history = history
        self._clock = clock
        self._archive = Archive(clock)
        self._scanners = ThreadPoolExecutor(2, "scan")
        self._scanning = 0
        self._pages: OrderedDict[tuple[object, ...], tuple[bytes, int, int | None]] = OrderedDict()

    def confirmed(self) -> Confirmed:
        """
        Get the view that answers are made from.

        Raises:
            RefusedError: It could not be confirmed for too long: the table may have moved on.
        """
        confirmed = self._follower.confirmed
        if confirmed is None:
            raise RefusedError(Code.NO_DATA, f"the table was never read: {self._follower.trouble}")
        if (age := self._clock() - confirmed.at) > STALE_SECONDS:
            trouble = self._follower.trouble or "the catalog does not answer"
            reason = f"the table could not be confirmed for {age:.0f} s: {trouble}"
            raise RefusedError(Code.STALE, reason)
        return confirmed

    async def trades(self, query: TradesQuery, correlation_id: str) -> bytes:
        """
        Answer ``/v1/trades``.

        Raises:
            RefusedError: With the reason.
        """
        confirmed = self.confirmed()
        data, count, total = await self._page(confirmed.view, query)
        more = count == query.limit if total is None else query.offset + count < total
        pagination = {
            "limit": query.limit,
            "offset": query.offset,
            "total": total,
            "has_more": more,
        }
        return answers.envelope(_meta(confirmed, correlation_id), data, {"pagination": pagination})

    async def _page(self, view: View, query: TradesQuery) -> tuple[bytes, int, int | None]:
        wanted = query.wanted()
        key = (view.snapshot_id, view.uncounted, wanted, query.limit, query.offset)
        if remembered := self._pages.get(key):
            return remembered
        known = is_known(view, wanted)
        if known is False:
            what = f"{query.symbol or 'any symbol'} on {query.exchange or 'any exchange'}"
            reason = f"the table never had a trade of {what}"
            raise RefusedError(Code.UNKNOWN_SYMBOL, reason)
        page = from_memory(view, wanted, query.offset, query.limit)
        if page is None:
            page = await self._scan(view, query)
        made = (answers.trades(page.rows), page.rows.num_rows, page.total)
        if query.limit <= _ROWS_REMEMBERED:
            self._pages[key] = made
        if len(self._pages) > _PAGES_REMEMBERED:
            self._pages.popitem(last=False)
        return made

    async def _scan(self, view: View, query: TradesQuery) -> Page:
        if self._scanning >= _SCANS_WAITING:
            raise RefusedError(Code.BUSY, f"{self._scanning} older ranges are being read already")
        self._scanning += 1
        deadline = self._clock() + _SCAN_SECONDS
        work = asyncio.get_running_loop().run_in_executor(
            self._scanners,
            self._archive.page,
            view,
            query.wanted(),
            query.offset,
            query.limit,
            deadline,
        )
        work.add_done_callback(self._scan_ended)
        try:
            return await asyncio.wait_for(asyncio.shield(work), _SCAN_SECONDS)
        except (TimeoutError, TooSlowError):
            reason = f"reading took longer than {_SCAN_SECONDS:.0f} s; ask for a shorter range"
            raise RefusedError(Code.TOO_SLOW, reason) from None
        except NotReadyError as error:
            raise RefusedError(Code.NOT_READY, str(error)) from error
        except (OSError, pa.ArrowException) as error:
            reason = f"data files cannot be read: {type(error).__name__}: {error}"
            raise RefusedError(Code.STORE, reason) from error

    def _scan_ended(self, work: asyncio.Future[Page]) -> None:
        self._scanning -= 1
        # Asked for, so that one nobody waits for any longer is not reported as never retrieved.
        if not work.cancelled():
            work.exception()

    def symbols(self, correlation_id: str) -> bytes:
        """
        Answer ``/v1/symbols``.

        Raises:
            RefusedError: With the reason.
        """
        confirmed = self._counted()
        view = confirmed.view
        data = [answers.symbol(*key, tally) for key, tally in sorted(view.totals.items())]
        return answers.envelope(_meta(confirmed, correlation_id), orjson.dumps(data), {})

    def stats(self, correlation_id: str) -> bytes:
        """
        Answer ``/v1/stats``.

        Raises:
            RefusedError: With the reason.
        """
        confirmed = self._counted()
        view = confirmed.view
        tallies = view.totals.values()
        last = max((tally.last for tally in tallies), default=None)
        first = min((tally.first for tally in tallies), default=None)
        since = view.window.complete_since
        data = {
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
        return answers.envelope(_meta(confirmed, correlation_id), orjson.dumps(data), {})

    async def snapshots(self, limit: int, correlation_id: str) -> bytes:
        """
        Answer ``/v1/snapshots``.

        Raises:
            RefusedError: With the reason.
        """
        meta = _meta(self.confirmed(), correlation_id)
        loop = asyncio.get_running_loop()
        try:
            known = await asyncio.wait_for(
                loop.run_in_executor(self._scanners, self._history), _SCAN_SECONDS
            )
        except Exception as error:
            reason = f"the snapshots cannot be read: {type(error).__name__}: {error}"
            raise RefusedError(Code.CATALOG, reason) from error
        extra = {
            "pagination": {
                "limit": limit,
                "offset": 0,
                "total": len(known),
                "has_more": len(known) > limit,
            }
        }
        return answers.envelope(meta, orjson.dumps(known[:limit]), extra)

    def health(self) -> tuple[HTTPStatus, bytes]:
        """Answer ``/health``: from what is known, without asking anybody."""
        now = self._clock()
        readings = [one.read(now) for one in self._dependencies]
        status, code, message = "healthy", HTTPStatus.OK, ""
        if unwell := [reading.name for reading in readings if not reading.healthy]:
            status, message = "degraded", f"unwell: {', '.join(unwell)}"
        try:
            self.confirmed()
        except RefusedError as error:
            status, code, message = "unhealthy", error.code.status, str(error)
        body = {
            "status": status,
            "version": VERSION,
            "timestamp": answers.now(),
            "message": message,
            "confirmed_seconds_ago": self._follower.age(now),
            "dependencies": [_told(asdict(reading)) for reading in readings],
        }
        return code, orjson.dumps(body)

    def gauge(self) -> None:
        """Bring the gauges up to date."""
        age = self._follower.age(self._clock())
        metrics.SNAPSHOT_AGE.set(float("inf") if age is None else age)
        confirmed = self._follower.confirmed
        metrics.WINDOW_ROWS.set(len(confirmed.view.window) if confirmed else 0)

    def _counted(self) -> Confirmed:
        confirmed = self.confirmed()
        view = confirmed.view
        if view.uncounted:
            reason = f"{view.uncounted} of {len(view.files)} data files are still to be read"
            raise RefusedError(Code.NOT_READY, reason)
        return confirmed


def _meta(confirmed: Confirmed, correlation_id: str) -> dict[str, Any]:
    """Say from which snapshot an answer is, and when that was known to be the current one."""
    return {
        "correlation_id": correlation_id,
        "timestamp": answers.now(),
        "snapshot_id": confirmed.view.snapshot_id,
        "as_of": answers.instant(confirmed.as_of),
    }


def _told(reading: dict[str, Any]) -> dict[str, Any]:
    healthy = reading.pop("healthy")
    return {"name": reading.pop("name"), "status": "healthy" if healthy else "unhealthy", **reading}
