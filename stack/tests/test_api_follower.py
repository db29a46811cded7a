"""Following the table, and reading what is not in memory."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.io.pyarrow import PyArrowFileIO

from query_api import follower
from query_api.follower import WINDOW_MICROS, Follower, View, window_start
from query_api.lake import FOREVER, File, Rewrite
from query_api.queries import Archive, NotReadyError, TooSlowError, from_memory, is_known
from query_api.trades import COLUMNS, Wanted

NOW = int(datetime.now(UTC).timestamp() * 1_000_000)
MINUTE = 60_000_000


@dataclass
class Snap:
    snapshot_id: int
    timestamp_ms: int = 1_790_000_000_000


@dataclass
class Current:
    snapshot: Snap | None
    io: PyArrowFileIO

    @property
    def snapshot_id(self) -> int | None:
        return self.snapshot.snapshot_id if self.snapshot else None


class Lake:
    """A table of files on disk, whose snapshots are made by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.snapshot: Snap | None = None
        self.held: dict[str, File] = {}
        self.failing: Exception | None = None
        self.asked = threading.Event()
        self.silent: threading.Event | None = None
        self.rewritten: list[Rewrite] | None = None
        self.io = PyArrowFileIO()

    def add(self, *rows: tuple[int, str, int]) -> str:
        times = [time for time, _, _ in rows]
        return self.put(table_of(*rows), min(times), max(times))

    def put(self, rows: pa.Table, first: int, last: int) -> str:
        """Add a file of *rows* as they are."""
        path = str(self.folder / f"{len(list(self.folder.iterdir()))}.parquet")
        pq.write_table(rows, path)
        self.held[path] = File(path, rows.num_rows, first, last)
        self.commit()
        return path

    def commit(self) -> None:
        self.snapshot = Snap(self.snapshot.snapshot_id + 1 if self.snapshot else 1)

    def current(self) -> Any:
        self.asked.set()
        if self.silent:
            self.silent.wait(30)
        if self.failing:
            raise self.failing
        return Current(self.snapshot, self.io)

    def files(self, current: Any) -> dict[str, File]:
        return dict(self.held)

    def rewrites(self, since: int, current: Any) -> list[Rewrite] | None:
        return self.rewritten

    def compact(self, *paths: str) -> str:
        """Put the rows of *paths* into one file, of which only the listing is right."""
        old = [self.held.pop(path) for path in paths]
        path = str(self.folder / f"compacted-{len(self.held)}.parquet")
        rows = sum(file.rows for file in old)
        first, last = min(file.first for file in old), max(file.last for file in old)
        self.held[path] = File(path, rows, first, last)
        self.rewritten = [Rewrite(frozenset(paths), {path: self.held[path]})]
        self.commit()
        return path


def table_of(*rows: tuple[int, str, int]) -> pa.Table:
    at = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    filled = [
        dict.fromkeys(COLUMNS.names, "x") | {
            "timestamp": time, "ingestion_timestamp": at, "symbol": symbol,
            "source_sequence": sequence, "exchange": "BINANCE", "platform_sequence": None,
            "price": Decimal(1), "quantity": Decimal(1),
        }
        for time, symbol, sequence in rows
    ]  # fmt: skip
    return pa.Table.from_pylist(filled, schema=COLUMNS)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def seen(lake: Lake) -> tuple[Follower, Callable[[], View]]:
    following = Follower(lake)

    def view() -> View:
        following.look()
        assert following.confirmed is not None
        return following.confirmed.view

    return following, view


def numbers(rows: pa.Table) -> list[int]:
    found: list[int] = rows["source_sequence"].to_pylist()
    return found


def in_memory(view: View, **wanted: Any) -> list[int] | None:
    page = from_memory(view, Wanted(**wanted), 0, 100)
    return None if page is None else numbers(page.rows)


def test_a_table_without_a_snapshot_is_empty(lake: Lake) -> None:
    view = seen(lake)[1]()
    assert (view.snapshot_id, view.rows, in_memory(view)) == (None, 0, [])


def test_added_files_are_added(lake: Lake) -> None:
    _, view = seen(lake)
    lake.add((NOW, "AAA", 1))
    assert in_memory(view()) == [1]
    lake.add((NOW + 1, "AAA", 2), (NOW + 1, "BBB", 1))
    after = view()
    assert in_memory(after) == [1, 2, 1]
    assert after.snapshot_id == 2
    assert after.totals["AAA", "BINANCE"].count == 2


def test_compaction_changes_nothing_that_is_seen(lake: Lake) -> None:
    _, view = seen(lake)
    small = [lake.add((NOW + n, "AAA", n)) for n in range(5)]
    before = view()
    for path in small:
        del lake.held[path]
    lake.add(*((NOW + n, "AAA", n) for n in range(5)))
    after = view()
    assert in_memory(after) == in_memory(before) == [4, 3, 2, 1, 0]
    assert after.totals == before.totals
    assert after.rows == before.rows


def test_a_rewrite_is_followed_without_reading_a_file(lake: Lake) -> None:
    _, view = seen(lake)
    small = [lake.add((NOW + n, "AAA", n)) for n in range(5)]
    before = view()
    # The file is not there: whoever reads it fails.
    path = lake.compact(*small[:4])
    lake.add((NOW + 9, "BBB", 9))
    after = view()
    assert in_memory(after) == [9, 4, 3, 2, 1, 0]
    assert after.files.keys() == {path, small[4], *after.files.keys()}
    assert after.totals["AAA", "BINANCE"] == before.totals["AAA", "BINANCE"]
    assert after.counted[path]["AAA", "BINANCE"].count == 4
    assert (after.uncounted, after.rows) == (0, 6)


def test_a_rewrite_that_does_not_add_up_is_not_believed(lake: Lake) -> None:
    _, view = seen(lake)
    small = [lake.add((NOW + n, "AAA", n)) for n in range(3)]
    view()
    for path in small:
        del lake.held[path]
    path = lake.add((NOW, "AAA", 7))
    lake.rewritten = [Rewrite(frozenset(small), {path: lake.held[path]})]
    assert in_memory(view()) == [7]


def test_a_rewrite_of_files_never_seen_is_not_believed(lake: Lake) -> None:
    _, view = seen(lake)
    small = [lake.add((NOW + n, "AAA", n)) for n in range(2)]
    view()
    small.append(lake.add((NOW + 2, "AAA", 2)))
    for path in small:
        del lake.held[path]
    path = lake.add(*((NOW + n, "AAA", n) for n in range(3)))
    lake.rewritten = [Rewrite(frozenset(small), {path: lake.held[path]})]
    assert in_memory(view()) == [2, 1, 0]


def test_rows_that_are_gone_from_the_table_are_gone_from_memory(lake: Lake) -> None:
    _, view = seen(lake)
    lake.add((NOW, "AAA", 1))
    gone = lake.add((NOW, "BBB", 2))
    view()
    del lake.held[gone]
    lake.commit()
    after = view()
    assert in_memory(after) == [1]
    assert is_known(after, Wanted(symbol="BBB")) is False


def test_rows_that_come_late_land_where_they_belong(lake: Lake) -> None:
    _, view = seen(lake)
    lake.add((NOW, "AAA", 3))
    view()
    lake.add((NOW - 1000, "AAA", 2))
    assert in_memory(view()) == [3, 2]


def test_a_failed_look_keeps_the_view_and_its_age(lake: Lake) -> None:
    following, view = seen(lake)
    lake.add((NOW, "AAA", 1))
    view()
    before = following.confirmed
    lake.failing = ConnectionError("gone")
    with pytest.raises(ConnectionError):
        following.look()
    assert following.confirmed is before


def test_older_files_are_not_in_memory_but_counted_and_found(lake: Lake) -> None:
    _, view = seen(lake)
    old = NOW - WINDOW_MICROS - 10 * MINUTE
    lake.add(*((old + n, "AAA", n) for n in range(10)), (old, "OLD", 1))
    lake.add(*((NOW + n, "AAA", 100 + n) for n in range(3)))
    known = view()
    known = view()
    assert known.uncounted == 0
    assert in_memory(known, symbol="AAA") is None
    page = Archive().page(known, Wanted(symbol="AAA"), 0, 5, time.monotonic() + 60)
    assert (numbers(page.rows), page.total) == ([102, 101, 100, 9, 8], 13)
    page = Archive().page(known, Wanted(start=old + 2, end=old + 5), 1, 9, time.monotonic() + 60)
    assert (numbers(page.rows), page.total) == ([3, 2], 3)
    assert is_known(known, Wanted(symbol="OLD")) is True
    assert is_known(known, Wanted(symbol="NEW")) is False


def test_a_symbol_is_not_denied_before_all_files_were_read(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_FILES_PER_LOOK", 1)
    _, view = seen(lake)
    old = NOW - WINDOW_MICROS - 10 * MINUTE
    for n in range(3):
        lake.add((old + n, "OLD", n))
    lake.add((NOW, "AAA", 1))
    early = view()
    assert early.uncounted == 2
    assert is_known(early, Wanted(symbol="XXX")) is None
    with pytest.raises(NotReadyError, match="2 of 4 data files"):
        Archive().page(early, Wanted(symbol="XXX"), 0, 1, time.monotonic() + 60)


def test_a_page_over_many_files_is_the_same_as_over_one_list(lake: Lake) -> None:
    _, view = seen(lake)
    old = NOW - 100 * WINDOW_MICROS
    rows = [(old + (n * 7919) % 1000, "AAA", n) for n in range(200)]
    for at in range(0, 200, 4):
        lake.add(*rows[at : at + 4])
    lake.add((NOW, "AAA", 1000))
    known = view()
    known = view()
    assert known.uncounted == 0
    expected = [n for _, _, n in sorted(rows, reverse=True)]
    page = Archive().page(known, Wanted(end=NOW), 10, 30, time.monotonic() + 60)
    assert (numbers(page.rows), page.total) == (expected[10:40], 200)


def test_reading_that_takes_too_long_is_given_up(lake: Lake) -> None:
    _, view = seen(lake)
    lake.add((NOW - 100 * WINDOW_MICROS, "AAA", 1))
    lake.add((NOW, "AAA", 1))
    view()
    with pytest.raises(TooSlowError):
        Archive().page(view(), Wanted(), 0, 10, time.monotonic() - 1)


def test_a_row_from_the_future_does_not_push_the_others_out() -> None:
    now = datetime.now(UTC)
    present = int(now.timestamp() * 1_000_000)
    future = present + int(timedelta(days=365).total_seconds()) * 1_000_000
    files = [File("a", 1, present, present), File("b", 1, future, future)]
    assert window_start(files, now) is None


def test_a_file_without_bounds_is_always_looked_into() -> None:
    files = [File("a", 1, *FOREVER), File("b", 1, NOW, NOW)]
    start = window_start(files, datetime.now(UTC))
    assert start is not None
    assert start <= NOW
