"""Old snapshots go; the rows, the offsets and the way back to them stay."""

import time
from pathlib import Path

import pytest
from pyiceberg.exceptions import CommitFailedException
from sink_catalog import Lake
from test_sink_table import NAME, OWNED, foreign_append, opened, sequences, step

from consumer_crypto.retention import expire
from consumer_crypto.table import TradesTable


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def filled(lake: Lake, count: int) -> TradesTable:
    table = opened(lake)
    for n in range(count):
        table.append(step(f"batch-{n}", n), OWNED)
    return table


def snapshots(lake: Lake) -> int:
    assert lake.metadata is not None
    return len(lake.metadata.snapshots)


def age(lake: Lake, seconds: float) -> None:
    """Make all snapshots so far older."""
    assert lake.metadata is not None
    back = int(seconds * 1000)
    older = [
        one.model_copy(update={"timestamp_ms": one.timestamp_ms - back})
        for one in lake.metadata.snapshots
    ]
    lake.metadata = lake.metadata.model_copy(update={"snapshots": older})


def expire_in(table: TradesTable, keep_seconds: float = 60) -> int | None:
    return table.upkeep(lambda handle, _: expire(handle, keep_seconds))


def test_old_snapshots_go_and_the_rows_and_offsets_stay(lake: Lake) -> None:
    table = filled(lake, 5)
    age(lake, 100)
    table.append(step("young", 5), OWNED)
    assert expire_in(table) == 5
    assert snapshots(lake) == 1
    assert sequences(lake) == [0, 1, 2, 3, 4, 5]
    assert opened(lake).resume() == {0: 6}


def test_young_snapshots_stay(lake: Lake) -> None:
    table = filled(lake, 3)
    assert expire_in(table) == 0
    assert snapshots(lake) == 3


def test_the_current_snapshot_stays_however_old(lake: Lake) -> None:
    table = filled(lake, 3)
    age(lake, 100)
    assert expire_in(table) == 2
    assert opened(lake).resume() == {0: 3}


def test_the_way_back_to_the_newest_offsets_stays(lake: Lake) -> None:
    filled(lake, 3)
    foreign_append(lake)
    foreign_append(lake)
    age(lake, 100)
    assert expire_in(opened(lake)) == 2
    assert opened(lake).resume() == {0: 3}


def test_nothing_goes_while_no_offsets_are_found(lake: Lake) -> None:
    opened(lake)
    foreign_append(lake)
    foreign_append(lake)
    age(lake, 100)
    assert expire_in(opened(lake)) == 0


def test_writing_goes_on_after_old_snapshots_went(lake: Lake) -> None:
    table = filled(lake, 3)
    age(lake, 100)
    expire_in(table)
    table.append(step("next", 3), OWNED)
    assert table.conflicts == 0
    assert sequences(lake) == [0, 1, 2, 3]


def test_nothing_goes_while_the_table_is_not_the_one_we_know(lake: Lake) -> None:
    table = filled(lake, 3)
    foreign_append(lake)
    age(lake, 100)
    assert expire_in(table) == 0


def test_an_expiry_that_lands_after_somebody_committed_is_refused(lake: Lake) -> None:
    table = filled(lake, 3)
    age(lake, 100)
    lake.before = [lambda: foreign_append(lake)]
    with pytest.raises(CommitFailedException):
        expire_in(table)
    assert snapshots(lake) == 4
    table.append(step("next", 3), OWNED)
    assert sequences(lake) == [0, 1, 2, 3]


def test_an_expiry_whose_answer_was_lost_changes_nothing_for_the_next_batch(lake: Lake) -> None:
    table = filled(lake, 3)
    age(lake, 100)
    lake.lose_answer = True
    with pytest.raises(Exception):  # noqa: B017, PT011 - the catalog's own, whichever
        expire_in(table)
    assert expire_in(table) is None
    table.append(step("next", 3), OWNED)
    assert sequences(lake) == [0, 1, 2, 3]
    assert snapshots(lake) == 2


def test_files_of_a_batch_that_was_tried_for_long_are_written_anew(lake: Lake) -> None:
    opened(lake)
    table = TradesTable(lambda: lake, NAME, "topic", fresh_seconds=0.05)
    table.resume()
    one = step("a", 0)
    lake.lose_request = True
    with pytest.raises(ConnectionError):
        table.append(one, OWNED)
    (old,) = lake.folder.rglob("*.parquet")
    time.sleep(0.1)
    old.unlink()
    table.append(one, OWNED)
    assert sequences(lake) == [0]


def test_offsets_that_a_rollback_left_aside_stay_while_there_are_no_others(lake: Lake) -> None:
    opened(lake)
    foreign_append(lake)
    metadata = lake.metadata
    assert metadata is not None
    table = opened(lake)
    table.append(step("aside", 0), OWNED)
    assert lake.metadata is not None
    back = {"refs": metadata.refs, "current_snapshot_id": metadata.current_snapshot_id}
    lake.metadata = lake.metadata.model_copy(update=back)
    age(lake, 100)
    assert expire_in(opened(lake)) == 0
    assert snapshots(lake) == 2
