"""
Following the table: a thread that keeps a view of the newest snapshot.

A view is a value: one snapshot, its files, the newest rows, and what is known of the rest.
Whoever answers a request takes the view once and sees one snapshot throughout.

When a snapshot only adds files, only these are read. When files are gone because their rows were
put into others (a compaction), nothing is read, for no row has changed. When they are gone for any
other reason (an overwrite, a rollback), the rows in memory are built anew from the files of that
snapshot.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

import pyarrow as pa
from pyiceberg.io import FileIO

from query_api import census, metrics
from query_api.census import Census
from query_api.lake import FOREVER, Current, File, Rewrite, read
from query_api.trades import Window
from query_api.view import Confirmed, View

_log = logging.getLogger(__name__)

WINDOW_MICROS: Final = 15 * 60 * 1_000_000
_SLACK_MICROS: Final = 60 * 1_000_000
WINDOW_ROWS: Final = 1_000_000
_PERIOD: Final = 0.5
_FILES_PER_LOOK: Final = 50
_FILES_WITH_THE_BUG: Final = 3
_READERS: Final = 4
_SLOW_SECONDS: Final = 2.0
"""A look that lasts this long is itself what is to be told, rather than how the last one ended."""


class Table(Protocol):
    """What is followed; `lake.Lake` is one."""

    def current(self) -> Current:
        """Ask for the current snapshot."""

    def files(self, current: Current) -> Mapping[str, File]:
        """List its data files."""

    def rewrites(self, since: int, current: Current) -> Sequence[Rewrite] | None:
        """List the rewrites after the snapshot *since*; ``None`` if there were other changes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to the catalog: how long it took (seconds), what was wrong, and when."""

    at: float
    seconds: float
    trouble: str


class Follower:
    """Owns the thread and the newest view."""

    def __init__(
        self, table: Table, bugs: Collection[str] = (), period_seconds: float = _PERIOD
    ) -> None:
        """Follow *table*; `start` begins. *bugs* are obeyed: see `lab_bugs`."""
        self._table = table
        self._period = period_seconds
        self._bugs = bugs
        self._readers = ThreadPoolExecutor(_READERS, "reader")
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        # One reference: whoever takes it has a view and the time that belongs to it.
        self.confirmed: Confirmed | None = None
        # Of the snapshot before; only a bug on purpose answers from it.
        self.view_before: View | None = None
        self.trouble = "the first look at it is under way"
        self.asked: Asked | None = None
        self.asking_since: float | None = None
        self.looking_since: float | None = None

    def start(self) -> None:
        """Start following."""
        self._thread.start()

    def doubt(self, confirmed: Confirmed | None, now: float) -> str:
        """Tell why *confirmed* may not be the newest view at *now* (monotonic); empty: it is."""
        if confirmed is None:
            return f"the table was never read: {self._cause(now)}"
        if not confirmed.is_doubtful(now):
            return ""
        return f"the table was not confirmed for {now - confirmed.at:.0f} s: {self._cause(now)}"

    def look(self) -> None:
        """
        Bring the view up to the current snapshot.

        Raises:
            Exception: Whatever the catalog, the store or the table's content made of it; the view
                is unchanged then.
        """
        # As of the question, not of the answer: the table may have moved on meanwhile.
        began, as_of = time.monotonic(), datetime.now(UTC)
        self.looking_since = began
        try:
            current = self._ask(began)
            view = self.confirmed.view if self.confirmed else None
            if view is None or self._has_moved_on(view, current):
                view = self._advanced(view, current)
            self._confirm(view, began, as_of)
            if view.uncounted:
                self._confirm(self._counted_further(view), began, as_of)
        finally:
            self.looking_since = None

    def _ask(self, began: float) -> Current:
        self.asking_since = began
        try:
            current = self._table.current()
        except Exception as error:
            trouble = f"{type(error).__name__}: {error}"
            self.asked = Asked(began, time.monotonic() - began, trouble)
            raise
        else:
            self.asked = Asked(began, time.monotonic() - began, "")
            return current
        finally:
            self.asking_since = None

    def _has_moved_on(self, view: View, current: Current) -> bool:
        if "api-old-snapshot" in self._bugs and view.snapshot_id is not None:
            return False
        return view.snapshot_id != current.snapshot_id

    def _confirm(self, view: View, at: float, as_of: datetime) -> None:
        before = self.confirmed
        if before and before.view.snapshot_id != view.snapshot_id:
            self.view_before = before.view
        new = before.renewed(view, at, as_of, time.monotonic()) if before else None
        self.confirmed = new or Confirmed(view, at, as_of)
        if self.trouble:
            _log.info("the table is read again")
        self.trouble = ""

    def _cause(self, now: float) -> str:
        """Say why there is no newer view."""
        since = self.looking_since
        if since is not None and now - since > _SLOW_SECONDS:
            who = "the catalog" if self.asking_since is not None else "the store"
            return f"{who} has not answered for {now - since:.0f} s"
        return self.trouble or "looking at it takes long"

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - the view gets old, which is told to all who ask
                trouble = f"{type(error).__name__}: {error}"
                # Twice a second for as long as an outage lasts would drown all else.
                if trouble != self.trouble:
                    _log.warning("the table cannot be read: %s", trouble)
                self.trouble = trouble
            time.sleep(self._period)

    def _advanced(self, view: View | None, current: Current) -> View:
        files = self._table.files(current)
        if view is None:
            view = _emptied(None, files)
        elif view.files.keys() - files.keys():
            view = self._rewritten(view, current, files) or _emptied(view, files)
        since = view.window.complete_since
        new = files.keys() - view.files.keys()
        needed = sorted(p for p in new if since is None or files[p].last >= since)
        if "api-partial" in self._bugs:
            needed = sorted(needed, key=lambda path: files[path].last)[-_FILES_WITH_THE_BUG:]
        window = view.window
        counted: dict[str, Census] = {}
        for path, rows in zip(needed, self._read(current.io, needed), strict=True):
            window = window.extended(rows)
            if path not in view.counted:
                counted[path] = census.taken(rows)
        snapshot = current.snapshot
        return View(
            snapshot_id=current.snapshot_id,
            committed_at=_when(snapshot.timestamp_ms) if snapshot else None,
            io=current.io,
            files=files,
            window=_trimmed(window),
            rows=sum(file.rows for file in files.values()),
            counted={**view.counted, **counted},
            totals=census.total([view.totals, *counted.values()]),
        )

    def _rewritten(self, view: View, current: Current, files: Mapping[str, File]) -> View | None:
        """Exchange what was rewritten of *view*; ``None``: its rows are not to be kept."""
        rewrites = None
        if view.snapshot_id is not None:
            rewrites = self._table.rewrites(view.snapshot_id, current)
        if rewrites is not None:
            exchanged = _exchanged(view, rewrites)
            if exchanged is not None and not exchanged.files.keys() - files.keys():
                metrics.REWRITES.inc(len(rewrites))
                return exchanged
        metrics.REBUILDS.inc()
        _log.info("files are gone from the table: reading the newest rows anew")
        return None

    def _read(self, io: FileIO, paths: Iterable[str]) -> Iterable[pa.Table]:
        return self._readers.map(lambda path: read(io, path), paths)

    def _counted_further(self, view: View) -> View:
        """Look into some of the older files, so that totals and symbols become known."""
        io = view.io
        if io is None:
            return view
        paths = [p for p in view.files if p not in view.counted][:_FILES_PER_LOOK]
        rows = self._readers.map(lambda path: read(io, path, census.COLUMNS), paths)
        counted = dict(zip(paths, map(census.taken, rows), strict=True))
        return replace(
            view,
            counted={**view.counted, **counted},
            totals=census.total([view.totals, *counted.values()]),
        )


def _exchanged(view: View, rewrites: Iterable[Rewrite]) -> View | None:
    """Put the files that were added in place of the removed; ``None`` if that does not add up."""
    files, counted = dict(view.files), dict(view.counted)
    for rewrite in rewrites:
        removed = [file for path in rewrite.removed if (file := files.pop(path, None))]
        rows = sum(file.rows for file in rewrite.added.values())
        if rows != sum(file.rows for file in removed):
            return None
        files.update(rewrite.added)
        parts = [part for path in rewrite.removed if (part := counted.pop(path, None)) is not None]
        if len(rewrite.added) == 1 and len(parts) == len(removed):
            counted[next(iter(rewrite.added))] = census.total(parts)
    return replace(view, files=files, counted=counted, totals=census.total(counted.values()))


def _emptied(view: View | None, files: Mapping[str, File]) -> View:
    """Keep of *view* only what is still true of *files*, and no rows."""
    known = view.counted.items() if view else ()
    counted = {path: part for path, part in known if path in files}
    return View(
        snapshot_id=None,
        committed_at=None,
        io=None,
        files={},
        window=Window(complete_since=window_start(files.values(), datetime.now(UTC))),
        rows=0,
        counted=counted,
        totals=census.total(counted.values()),
    )


def window_start(files: Iterable[File], now: datetime) -> int | None:
    """Say from when on to keep rows in memory, given a snapshot's *files*; ``None``: all."""
    ordered = sorted(files, key=lambda file: file.last, reverse=True)
    known = [file.last for file in ordered if file.last != FOREVER[1]]
    # A row from the future must not push all others out.
    present = int(now.timestamp() * 1_000_000)
    start = min(max(known, default=present), present) - WINDOW_MICROS
    rows = 0
    for file in ordered:
        if rows and rows + file.rows > WINDOW_ROWS and file.last != FOREVER[1]:
            start = max(start, file.last + 1)
            break
        rows += file.rows
    return None if all(file.first >= start for file in ordered) else start


def _when(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _trimmed(window: Window) -> Window:
    newest = window.newest_time()
    if newest is None:
        return window
    present = int(datetime.now(UTC).timestamp() * 1_000_000)
    start = min(newest, present) - WINDOW_MICROS
    oldest = window.oldest_time()
    if oldest is not None and oldest < start - _SLACK_MICROS:
        window = window.since(start)
    return window.bounded(WINDOW_ROWS)
