"""Sweeping: what nobody refers to goes, and nothing else ever."""

import time
from pathlib import Path

import pytest
from sink_catalog import Lake
from test_sink_compaction import compact_in
from test_sink_retention import age, expire_in, filled
from test_sink_table import NAME, OWNED, opened, sequences, step

from consumer_crypto.sweep import Sweeper

GRACE = 100.0


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def sweeper(lake: Lake, clock: Clock) -> Sweeper:
    return Sweeper(lambda: lake.load_table(NAME), GRACE, clock)


def stored(lake: Lake) -> int:
    return len([path for path in lake.folder.rglob("*") if path.is_file()])


def swept(sweeping: Sweeper, clock: Clock) -> int:
    """Sweep often enough for everything unused now to go."""
    total = 0
    for _ in range(8):
        total += sweeping.sweep()
        clock.now += GRACE / 2
    return total


def test_replaced_and_expired_files_go_and_every_row_stays(lake: Lake, clock: Clock) -> None:
    table = filled(lake, 8)
    compact_in(table)
    age(lake, 100)
    expire_in(table)
    before = stored(lake)
    assert swept(sweeper(lake, clock), clock) >= 20
    assert stored(lake) <= before - 20
    assert sequences(lake) == list(range(8))
    assert len(list(lake.folder.rglob("*.parquet"))) == 3
    table.append(step("next", 8), OWNED)
    assert sequences(lake) == list(range(9))


def test_nothing_goes_that_an_older_snapshot_refers_to(lake: Lake, clock: Clock) -> None:
    table = filled(lake, 8)
    old = lake.load_table(NAME).current_snapshot()
    assert old is not None
    compact_in(table)
    swept(sweeper(lake, clock), clock)
    scan = lake.load_table(NAME).scan(snapshot_id=old.snapshot_id)
    assert sorted(scan.to_arrow()["source_sequence"].to_pylist()) == list(range(8))


def test_an_unused_file_stays_for_the_whole_grace(lake: Lake, clock: Clock) -> None:
    table = filled(lake, 8)
    compact_in(table)
    age(lake, 100)
    expire_in(table)
    sweeping = sweeper(lake, clock)
    assert sweeping.sweep() == 0
    clock.now += GRACE - 1
    assert sweeping.sweep() == 0
    clock.now += 1
    assert sweeping.sweep() > 0


def test_a_file_that_was_just_written_is_not_swept(lake: Lake, clock: Clock) -> None:
    filled(lake, 2)
    orphan = next(lake.folder.rglob("*.parquet")).with_name("orphan.parquet")
    orphan.write_bytes(b"x")
    sweeping = sweeper(lake, clock)
    sweeping.sweep()
    clock.now += GRACE - 1
    sweeping.sweep()
    assert orphan.exists()
    swept(sweeping, clock)
    assert not orphan.exists()


def test_a_file_that_came_into_use_is_not_swept(lake: Lake, clock: Clock) -> None:
    table = filled(lake, 2)
    one = step("late", 2)
    lake.delay_request = True
    with pytest.raises(TimeoutError):
        table.append(one, OWNED)
    sweeping = sweeper(lake, clock)
    clock.now += GRACE + 1
    sweeping.sweep()
    lake.commits[0]()
    swept(sweeping, clock)
    assert sequences(lake) == [0, 1, 2]


def test_nothing_is_swept_while_a_manifest_cannot_be_read(lake: Lake, clock: Clock) -> None:
    table = filled(lake, 8)
    compact_in(table)
    age(lake, 100)
    expire_in(table)
    snapshot = lake.load_table(NAME).current_snapshot()
    assert snapshot is not None
    Path(
        snapshot.manifests(lake.load_table(NAME).io)[0].manifest_path.removeprefix("file://")
    ).unlink()
    sweeping = sweeper(lake, clock)
    before = stored(lake)
    for _ in range(4):
        with pytest.raises(FileNotFoundError):
            sweeping.sweep()
        clock.now += GRACE
    assert stored(lake) == before


def test_a_table_without_snapshots_is_left_alone(lake: Lake, clock: Clock) -> None:
    filled(lake, 2)
    before = stored(lake)
    lake.metadata = None
    opened(lake)
    assert swept(sweeper(lake, clock), clock) == 0
    assert stored(lake) == before
