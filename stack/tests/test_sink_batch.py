"""Collecting batches, and the offsets that snapshots carry."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer_crypto.batch import Batch, Buffer, Record
from consumer_crypto.errors import RewindError
from consumer_crypto.offsets import PROPERTY, Carried, ancestors, holds_batch, newest_carried


def record(partition: int, offset: int) -> Record:
    return Record(partition, offset, b"BTCUSDT", b"")


@dataclass
class Snapshot:
    snapshot_id: int
    parent_snapshot_id: int | None
    summary: dict[str, str] = field(default_factory=dict)


def carrying(snapshot_id: int, parent: int | None, batch: str, **offsets: int) -> Snapshot:
    numbered = {int(name[1:]): offset for name, offset in offsets.items()}
    text = Carried("topic", batch, numbered).to_property()
    return Snapshot(snapshot_id, parent, {PROPERTY: text})


def test_an_empty_buffer_is_never_due() -> None:
    assert not Buffer(2.0, 10).is_due(1e9)


def test_a_batch_is_due_when_its_oldest_record_has_waited_long_enough() -> None:
    buffer = Buffer(2.0, 10)
    buffer.add([record(0, 0)], now=100.0)
    buffer.add([record(0, 1)], now=101.9)
    assert not buffer.is_due(101.9)
    assert buffer.is_due(102.0)


def test_a_full_batch_is_due_at_once_and_leaves_the_rest_for_the_next() -> None:
    buffer = Buffer(2.0, 3)
    buffer.add([record(0, offset) for offset in range(5)], now=100.0)
    assert buffer.is_due(100.0)
    assert buffer.take(100.0).next_offsets() == {0: 3}
    assert buffer.take(100.0).next_offsets() == {0: 5}
    assert buffer.waiting_since() is None


def test_what_was_cleared_is_not_written() -> None:
    buffer = Buffer(2.0, 3)
    buffer.add([record(0, 0)], now=100.0)
    buffer.clear()
    assert len(buffer) == 0
    assert not buffer.is_due(200.0)


def test_two_batches_of_the_same_records_have_different_ids() -> None:
    assert Batch((record(0, 0),), 0.0).id != Batch((record(0, 0),), 0.0).id


def test_a_batch_that_starts_before_the_expected_offset_is_refused() -> None:
    batch = Batch((record(0, 7), record(1, 3)), 0.0)
    with pytest.raises(RewindError, match="partition 1: offset 3 was read again, 4 comes next"):
        batch.check_follows({0: 7, 1: 4})


def test_a_batch_may_skip_offsets_that_are_not_records() -> None:
    Batch((record(0, 9),), 0.0).check_follows({0: 7})


@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 10**12))))
def test_next_offsets_are_one_past_the_last_of_each_partition(pairs: list[tuple[int, int]]) -> None:
    ends = Batch(tuple(record(*pair) for pair in pairs), 0.0).next_offsets()
    assert ends == {p: max(o for q, o in pairs if q == p) + 1 for p, _ in pairs}


@given(st.dictionaries(st.integers(0, 39), st.integers(0, 2**62)))
def test_carried_offsets_survive_being_written_and_read(offsets: dict[int, int]) -> None:
    carried = Carried("topic", "batch", offsets)
    assert Carried.from_property(carried.to_property()) == carried


def test_advancing_keeps_the_partitions_that_a_batch_does_not_touch() -> None:
    carried = Carried("topic", "a", {0: 5, 1: 6}).advanced("b", {1: 9, 2: 1})
    assert carried == Carried("topic", "b", {0: 5, 1: 9, 2: 1})


def test_only_partitions_of_ours_are_compared() -> None:
    ours, theirs = Carried("t", "a", {0: 5, 1: 6}), Carried("t", "b", {0: 5, 1: 8, 2: 3})
    assert ours.differs(theirs, {0}) == {}
    assert ours.differs(theirs, {0, 1, 2}) == {1: (6, 8), 2: (0, 3)}


def test_offsets_are_found_behind_the_snapshots_of_others() -> None:
    history = [carrying(1, None, "a", p0=5), Snapshot(2, 1), Snapshot(3, 2)]
    assert newest_carried(ancestors(history, 3)) == Carried("topic", "a", {0: 5})


def test_snapshots_off_the_line_of_the_current_one_are_not_asked() -> None:
    history = [carrying(1, None, "a", p0=5), carrying(2, 1, "undone", p0=9), Snapshot(3, 1)]
    assert newest_carried(ancestors(history, 3)) == Carried("topic", "a", {0: 5})
    assert not holds_batch(ancestors(history, 3), "undone")


def test_a_history_cut_by_expiry_ends_where_it_is_cut() -> None:
    assert newest_carried(ancestors([Snapshot(8, 7), Snapshot(9, 8)], 9)) is None


def test_a_batch_is_found_below_later_ones() -> None:
    history = [carrying(1, None, "a", p0=5), carrying(2, 1, "b", p0=6), Snapshot(3, 2)]
    assert holds_batch(ancestors(history, 3), "a")
    assert not holds_batch(ancestors(history, 3), "c")


def test_a_record_twice_in_one_batch_is_refused() -> None:
    with pytest.raises(RewindError, match="offset 7 was read again, 8 comes next"):
        Batch((record(0, 7), record(0, 7)), 0.0).check_follows({})


def sized(offset: int, size: int) -> Record:
    return Record(0, offset, None, b"x" * size)


def test_a_batch_is_full_at_so_many_bytes_and_takes_no_more() -> None:
    buffer = Buffer(2.0, 100, most_bytes=10)
    buffer.add([sized(0, 6), sized(1, 3)], now=100.0)
    assert not buffer.is_full()
    buffer.add([sized(2, 6), sized(3, 30), sized(4, 1)], now=100.0)
    assert buffer.is_due(100.0)
    taken = [buffer.take(100.0).next_offsets()[0] for _ in range(4)]
    assert taken == [2, 3, 4, 5]
    assert len(buffer) == 0
    assert not buffer.is_full()
