"""
Answering questions about trades from one view.

From memory where the window holds the answer; else from the files that can hold it, newest
first, without reading more of them than the page needs. Totals come from counting rows already
in memory, or from the census of files that lie wholly in the range; only files at its edges are
read for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from query_api import census
from query_api.lake import File, read
from query_api.trades import COLUMNS, Wanted, merged_newest, newest_first
from query_api.view import View

_FILES_AT_ONCE: Final = 16


class NotReadyError(Exception):
    """The history of the table is still being read; ask again in a moment."""


class TooSlowError(Exception):
    """Reading the files took longer than an answer may take."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first, and how many there are in all; ``None``: not counted yet."""

    rows: pa.Table
    total: int | None


def is_known(view: View, wanted: Wanted) -> bool | None:
    """Tell whether the table ever had a trade of this symbol and exchange; ``None``: not yet."""
    if any(census.matching({key: tally}, wanted) for key, tally in view.totals.items()):
        return True
    return None if view.uncounted else wanted.symbol is None and wanted.exchange is None


def from_memory(view: View, wanted: Wanted, offset: int, limit: int) -> Page | None:
    """Answer without reading anything; ``None`` if that is not possible."""
    covered = view.window.covers(wanted)
    if not covered and (wanted.start is not None or wanted.end is not None):
        return None
    rows = view.window.newest(wanted, offset + limit)
    if not covered and rows.num_rows < offset + limit:
        return None
    return Page(rows.slice(offset), _total(view, wanted, covered=covered))


def _total(view: View, wanted: Wanted, *, covered: bool) -> int | None:
    if wanted == Wanted():
        return view.rows
    if covered:
        return view.window.count(wanted)
    return None if view.uncounted else census.matching(view.totals, wanted)


class Archive:
    """Reads pages from the data files."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Judge deadlines by *clock*."""
        self._clock = clock
        self._readers = ThreadPoolExecutor(4, "archive")

    def page(self, view: View, wanted: Wanted, offset: int, limit: int, deadline: float) -> Page:
        """
        Read the wanted page.

        Raises:
            NotReadyError: Some files were not counted yet.
            TooSlowError: It was not done by *deadline*.
            OSError: The store does not answer, or a file is gone.
        """
        if view.uncounted or view.io is None:
            message = f"{view.uncounted} of {len(view.files)} data files are still to be read"
            raise NotReadyError(message)
        need, total, kept = offset + limit, 0, COLUMNS.empty_table()
        for group in _grouped(_candidates(view, wanted)):
            horizon = _horizon(kept, need)
            settled = {f.path for f in group if f.last < horizon and wanted.spans(f.first, f.last)}
            total += sum(census.matching(view.counted[path], wanted) for path in settled)
            found = self._read(view, wanted, [f for f in group if f.path not in settled])
            total += sum(rows.num_rows for rows in found)
            kept = merged_newest([kept, *found], need)
            if self._clock() > deadline:
                raise TooSlowError
        return Page(newest_first([kept]).slice(offset), total)

    def _read(self, view: View, wanted: Wanted, files: Sequence[File]) -> list[pa.Table]:
        io = view.io
        if io is None:
            return []
        return list(self._readers.map(lambda file: wanted.among(read(io, file.path)), files))


def _candidates(view: View, wanted: Wanted) -> list[File]:
    candidates = [
        file
        for file in view.files.values()
        if wanted.reaches(file.first, file.last)
        and census.matching(view.counted[file.path], wanted)
    ]
    return sorted(candidates, key=lambda file: file.last, reverse=True)


def _grouped(files: Sequence[File]) -> list[Sequence[File]]:
    return [files[at : at + _FILES_AT_ONCE] for at in range(0, len(files), _FILES_AT_ONCE)]


def _horizon(kept: pa.Table, need: int) -> int:
    """Say before which time no row can make it to the page any more."""
    return int(kept["timestamp"][0].value) if kept.num_rows >= need else -(2**63)
