"""Fewer files, the same rows, the same offsets: whatever happens to the commit."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from sink_catalog import Lake
from test_sink_retention import age, expire_in, filled, snapshots
from test_sink_table import NAME, OWNED, foreign_append, opened, rows, sequences, step

from consumer_crypto.compaction import Compacted, RewriteError, compact
from consumer_crypto.files import Step
from consumer_crypto.offsets import carried_by
from consumer_crypto.settings import UpkeepSettings
from consumer_crypto.table import TradesTable


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


SMALL = UpkeepSettings(files=6, rows=1000, leave=2)


def compact_in(table: TradesTable, settings: UpkeepSettings = SMALL) -> Compacted | None:
    return table.upkeep(lambda handle, carried: compact(handle, carried, settings))


def sizes(lake: Lake) -> list[int]:
    found: list[int] = lake.load_table(NAME).inspect.files()["record_count"].to_pylist()
    return sorted(found)


def test_small_files_become_one_and_no_row_changes(lake: Lake) -> None:
    table = filled(lake, 8)
    before = lake.load_table(NAME).scan().to_arrow().sort_by("source_sequence")
    done = compact_in(table)
    assert done is not None
    assert (done.before, done.after, done.rows) == (6, 1, 6)
    assert lake.load_table(NAME).scan().to_arrow().sort_by("source_sequence") == before
    assert sizes(lake) == [1, 1, 6]


def test_a_compaction_says_that_it_changed_no_rows_and_carries_the_offsets(lake: Lake) -> None:
    table = filled(lake, 8)
    compact_in(table)
    snapshot = lake.load_table(NAME).current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary.operation.value == "replace"
    assert snapshot.summary["total-records"] == "8"
    carried = carried_by(snapshot)
    assert carried is not None
    assert (carried.batch, carried.next_offsets) == ("batch-7", {0: 8})


def test_writing_goes_on_after_a_compaction_and_all_older_snapshots_may_go(lake: Lake) -> None:
    table = filled(lake, 8)
    compact_in(table)
    age(lake, 100)
    assert expire_in(table) == 8
    table.append(step("next", 8), OWNED)
    assert table.conflicts == 0
    assert sequences(lake) == list(range(9))
    assert opened(lake).resume() == {0: 9}


def test_one_step_does_not_do_it_all(lake: Lake) -> None:
    table = filled(lake, 20)
    for left in (15, 10):
        done = compact_in(table)
        assert done is not None
        assert (done.before, len(sizes(lake))) == (6, left)


def test_too_few_files_are_left_alone(lake: Lake) -> None:
    assert compact_in(filled(lake, 7)) is None


def test_files_with_enough_rows_for_a_full_one_need_not_be_many(lake: Lake) -> None:
    done = compact_in(filled(lake, 5), UpkeepSettings(files=99, rows=3, leave=2))
    assert done is not None
    assert (done.before, done.rows) == (3, 3)


def test_big_files_are_not_written_again_with_small_ones(lake: Lake) -> None:
    table = opened(lake)
    table.append(step("big", *range(100)), OWNED)
    for n in range(100, 108):
        table.append(step(f"batch-{n}", n), OWNED)
    compact_in(table)
    assert sizes(lake) == [1, 1, 6, 100]


def test_files_of_two_days_stay_apart(lake: Lake) -> None:
    table = opened(lake)
    for n in range(10):
        table.append(Step(f"batch-{n}", rows(n, day=20 + n % 2), {0: n + 1}), OWNED)
    done = compact_in(table, UpkeepSettings(files=4, rows=1000, leave=2))
    assert done is not None
    assert (done.before, done.after) == (4, 1)
    assert compact_in(table, UpkeepSettings(files=3, rows=1000, leave=2)) is not None
    partitions = lake.load_table(NAME).inspect.partitions()
    assert partitions["record_count"].to_pylist() == [5, 5]
    assert sequences(lake) == list(range(10))


def test_a_compaction_is_refused_when_somebody_committed_in_between(lake: Lake) -> None:
    table = filled(lake, 8)
    lake.before = [lambda: foreign_append(lake)]
    with pytest.raises(CommitFailedException):
        compact_in(table)
    table.append(step("next", 8), OWNED)
    assert sequences(lake) == list(range(9))
    assert table.conflicts == 1


def test_a_compaction_whose_answer_was_lost_fences_nobody(lake: Lake) -> None:
    table = filled(lake, 8)
    lake.lose_answer = True
    with pytest.raises(CommitStateUnknownException):
        compact_in(table)
    table.append(step("next", 8), OWNED)
    assert sequences(lake) == list(range(9))
    assert sizes(lake) == [1, 1, 1, 6]


def test_a_compaction_that_lands_before_the_next_batch_refuses_it_once(lake: Lake) -> None:
    table = filled(lake, 8)
    lake.delay_request = True
    with pytest.raises(TimeoutError):
        compact_in(table)
    one = step("next", 8)
    lake.before = [lake.commits[0]]
    with pytest.raises(CommitFailedException):
        table.append(one, OWNED)
    table.append(one, OWNED)
    assert sequences(lake) == list(range(9))
    assert sizes(lake) == [1, 1, 1, 6]


def test_a_compaction_that_lands_after_the_next_batch_is_refused(lake: Lake) -> None:
    table = filled(lake, 8)
    lake.delay_request = True
    with pytest.raises(TimeoutError):
        compact_in(table)
    table.append(step("next", 8), OWNED)
    with pytest.raises(CommitFailedException):
        lake.commits[0]()
    assert sequences(lake) == list(range(9))


def test_the_late_compaction_of_a_killed_process_does_not_end_its_successor(lake: Lake) -> None:
    dead = filled(lake, 8)
    lake.delay_request = True
    with pytest.raises(TimeoutError):
        compact_in(dead)
    successor = opened(lake)
    lake.commits[0]()
    one = step("next", 8)
    with pytest.raises(CommitFailedException):
        successor.append(one, OWNED)
    successor.append(one, OWNED)
    assert sequences(lake) == list(range(9))


def test_the_compaction_of_a_zombie_is_refused_once_its_twin_wrote(lake: Lake) -> None:
    zombie, twin = filled(lake, 8), opened(lake)
    twin.append(step("twin", 8), OWNED)
    with pytest.raises(CommitFailedException):
        compact_in(zombie)
    assert sequences(lake) == list(range(9))


def test_a_batch_whose_answer_was_lost_is_found_behind_a_compaction(lake: Lake) -> None:
    table, other = filled(lake, 8), opened(lake)
    one = step("lost", 8)
    lake.lose_answer = True
    with pytest.raises(CommitStateUnknownException):
        table.append(one, OWNED)
    other.resume()
    assert compact_in(other) is not None
    table.append(one, OWNED)
    assert sequences(lake) == list(range(9))


def test_a_process_killed_before_the_commit_of_a_compaction_changed_nothing(lake: Lake) -> None:
    table = filled(lake, 8)
    lake.lose_request = True
    with pytest.raises(ConnectionError):
        compact_in(table)
    successor = opened(lake)
    assert successor.resume() == {0: 8}
    assert compact_in(successor) is not None
    assert sequences(lake) == list(range(8))


def test_rows_that_do_not_add_up_are_not_committed(lake: Lake) -> None:
    table = filled(lake, 8)
    oldest = min(lake.folder.rglob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    newest = max(lake.folder.rglob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    both = pq.ParquetFile(newest).read()
    pq.write_table(pa.concat_tables([both, both]), oldest)
    with pytest.raises(RewriteError, match="6 rows were to be rewritten, 7 were written"):
        compact_in(table)
    assert snapshots(lake) == 8


def test_many_compactions_and_merged_manifests_keep_every_row_once(lake: Lake) -> None:
    table = opened(lake)
    settings = UpkeepSettings(files=8, rows=40, leave=3)
    for n in range(120):
        table.append(step(f"batch-{n}", n), OWNED)
        compact_in(table, settings)
    assert sequences(lake) == list(range(120))
    assert len(sizes(lake)) < 25
    snapshot = lake.load_table(NAME).current_snapshot()
    assert snapshot is not None
    assert len(snapshot.manifests(lake.load_table(NAME).io)) <= 31
