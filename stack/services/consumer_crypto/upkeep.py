"""
Upkeep of the table: what keeps it as quick after a day as in its first minutes.

One step at a time, between two batches, in the writer's thread: so upkeep and batches never
compete for the table. A step is bounded, so a batch waits no longer than for a slow commit. It is
never urgent: whatever fails is logged, counted, told in ``/health`` until the step succeeds, and
tried again later, not sooner.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from pyiceberg.table import Table

from consumer_crypto import metrics
from consumer_crypto.compaction import Compacted, compact
from consumer_crypto.health import Vitals
from consumer_crypto.offsets import Carried
from consumer_crypto.retention import expire
from consumer_crypto.settings import UpkeepSettings
from consumer_crypto.trouble import explain

_log = logging.getLogger(__name__)

# What `/health` calls a step under way: one that hangs has not failed yet, and cannot say why.
_UNDER_WAY: Final = {
    "compact": "upkeep (compact, which waits for the store or the catalog)",
    "expire": "upkeep (expire, which waits for the catalog)",
}

T = TypeVar("T")


class Kept(Protocol):
    """What is looked after; `TradesTable` is one."""

    def upkeep(self, change: Callable[[Table, Carried], T]) -> T | None:
        """See `TradesTable.upkeep`."""


class Upkeep:
    """Knows what is due."""

    def __init__(
        self,
        table: Kept,
        settings: UpkeepSettings,
        vitals: Vitals,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look after *table*, at times told by *clock*; report to *vitals*."""
        self._table = table
        self._settings = settings
        self._vitals = vitals
        self._clock = clock
        self._expire_due = clock() + settings.seconds
        self._compact_due = self._expire_due
        # Looking for files to put together costs a little, so it is done when some were added.
        self._batches = settings.files

    def step(self) -> None:
        """Do at most one thing that is due, after a batch; never raises."""
        now = self._clock()
        self._batches += 1
        if self._batches >= self._settings.files and now >= self._compact_due:
            self._try("compact", self._compact)
        elif now >= self._expire_due:
            self._expire_due = now + self._settings.seconds
            self._try("expire", self._expire)

    def _try(self, step: str, action: Callable[[], None]) -> None:
        started = time.monotonic()
        self._vitals.step, self._vitals.step_since = _UNDER_WAY[step], started
        trouble = ""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - the next append asks the table what happened
            metrics.UPKEEP_FAILURES.labels(step).inc()
            trouble = f"upkeep, {step}: {explain(error)}"
            _log.warning("%s", trouble)
        finally:
            self._vitals.step_since = None
        self._vitals.upkeep_troubles = {**self._vitals.upkeep_troubles, step: trouble}
        metrics.UPKEEP_SECONDS.labels(step).observe(time.monotonic() - started)

    def _compact(self) -> None:
        # Should it fail, it is tried again after a while.
        self._compact_due = self._clock() + self._settings.seconds
        done = self._table.upkeep(lambda table, carried: compact(table, carried, self._settings))
        if done is None:
            self._batches = 0
            return
        # There may be more to do.
        self._compact_due = self._clock()
        self._report(done)

    def _report(self, done: Compacted) -> None:
        metrics.FILES_COMPACTED.inc(done.before)
        metrics.ROWS_COMPACTED.inc(done.rows)
        _log.info(
            "put %d files together into %d, %d rows in %.2f s",
            done.before,
            done.after,
            done.rows,
            done.seconds,
        )

    def _expire(self) -> None:
        keep = self._settings.keep_seconds
        expired = self._table.upkeep(lambda table, _: expire(table, keep)) or 0
        metrics.SNAPSHOTS_EXPIRED.inc(expired)
        if expired:
            _log.info("expired %d snapshots older than %.0f s", expired, keep)
