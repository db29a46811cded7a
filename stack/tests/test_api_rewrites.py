"""Recognising the rewrites of a real table between two of its snapshots."""

from pathlib import Path

import pytest
from pyiceberg.io.pyarrow import PyArrowFileIO
from sink_catalog import Lake as Store
from test_sink_compaction import SMALL, compact_in
from test_sink_retention import age, expire_in, filled
from test_sink_table import NAME, OWNED, foreign_append, step

from consumer_crypto.settings import UpkeepSettings
from query_api.follower import Follower, View
from query_api.lake import Lake
from query_api.queries import from_memory
from query_api.trades import Wanted

IO = PyArrowFileIO()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def lake(store: Store) -> Lake:
    return Lake(lambda: store, lambda: store, NAME)


def current_id(lake: Lake) -> int:
    found = lake.current().snapshot_id
    assert found is not None
    return found


def test_a_compaction_is_told_with_its_files(store: Store, lake: Lake) -> None:
    table = filled(store, 8)
    since, before = current_id(lake), lake.files(lake.current())
    compact_in(table)
    table.append(step("next", 8), OWNED)
    current = lake.current()
    after = lake.files(current)
    (rewrite,) = lake.rewrites(since, current) or ()
    assert rewrite.removed == before.keys() - after.keys()
    assert [file.rows for file in rewrite.added.values()] == [6]
    assert rewrite.added.items() <= after.items()


def test_two_compactions_are_told_in_order(store: Store, lake: Lake) -> None:
    table = filled(store, 8)
    since = current_id(lake)
    compact_in(table)
    table.append(step("next", 8), OWNED)
    compact_in(table, UpkeepSettings(files=2, rows=1000, leave=1))
    one, two = lake.rewrites(since, lake.current()) or ()
    assert (len(one.removed), len(two.removed)) == (6, 2)


def test_other_changes_are_no_rewrites(store: Store, lake: Lake) -> None:
    table = filled(store, 8)
    since = current_id(lake)
    compact_in(table)
    store.load_table(NAME).delete()
    assert lake.rewrites(since, lake.current()) is None


def test_what_happened_since_an_expired_snapshot_is_not_known(store: Store, lake: Lake) -> None:
    table = filled(store, 8)
    since = current_id(lake)
    compact_in(table)
    age(store, 100)
    expire_in(table)
    assert lake.rewrites(since, lake.current()) is None


def test_the_follower_sees_the_same_rows_through_compactions(store: Store, lake: Lake) -> None:
    table, following = filled(store, 3), Follower(lake)
    settings = UpkeepSettings(files=SMALL.files, rows=12, leave=2)

    def view() -> View:
        following.look()
        assert following.confirmed is not None
        return following.confirmed.view

    window = view().window
    for n in range(3, 40):
        table.append(step(f"batch-{n}", n), OWNED)
        if n % 10 == 0:
            foreign_append(store)
            table.resume()
        compact_in(table, settings)
        page = from_memory(view(), Wanted(), 0, 100)
        assert page is not None
        assert sorted(page.rows["source_sequence"].to_pylist()) == list(range(n + 1))
        assert page.total == n + 1
        assert view().totals["BTCUSDT", "BINANCE"].count == n + 1
        assert view().counted.keys() == view().files.keys()
    assert len(window) == 3
    # What was remembered of 37 batches, their files and manifests is gone with them.
    files = table_files(store)
    assert view().files.keys() == view().counted.keys() == files
    assert len(files) < 10
    assert len(lake._manifests) <= len(store.load_table(NAME).current_snapshot().manifests(IO))


def table_files(store: Store) -> set[str]:
    return set(store.load_table(NAME).inspect.files()["file_path"].to_pylist())


def test_the_connections_to_the_store_are_kept(store: Store, lake: Lake) -> None:
    filled(store, 2)
    assert lake.current().io is lake.current().io


def test_an_empty_manifest_is_read_once(store: Store, lake: Lake) -> None:
    filled(store, 2)
    store.load_table(NAME).delete()
    current = lake.current()
    assert lake.files(current) == {}
    kept = {path: id(files) for path, files in lake._manifests.items()}
    lake.files(current)
    assert kept == {path: id(files) for path, files in lake._manifests.items()}
