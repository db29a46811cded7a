"""Exactly once into the table: against conflicts, twins and answers that get lost."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from sink_catalog import Lake

from consumer_crypto import trade
from consumer_crypto.errors import FencedError, HistoryLostError, WrongTopicError
from consumer_crypto.files import Step
from consumer_crypto.offsets import PROPERTY
from consumer_crypto.table import TradesTable

NAME = "market_data.trades"
OWNED = frozenset(range(40))


def rows(*sequences: int, day: int = 22) -> pa.Table:
    at = datetime(2026, 11, day, 12, tzinfo=UTC)
    return trade.as_rows(
        [
            {
                "message_id": str(n), "trade_id": f"BINANCE-{n}", "symbol": "BTCUSDT",
                "exchange": "BINANCE", "asset_class": "crypto", "timestamp": at,
                "price": Decimal(1), "quantity": Decimal(1), "currency": "USDT", "side": "BUY",
                "trade_conditions": [], "source_sequence": n, "ingestion_timestamp": at,
            }
            for n in sequences
        ]
    )  # fmt: skip


def sequences(lake: Lake) -> list[int]:
    found: list[int] = lake.load_table(NAME).scan().to_arrow()["source_sequence"].to_pylist()
    return sorted(found)


def foreign_append(lake: Lake) -> None:
    table = lake.load_table(NAME)
    table.append(table.schema().as_arrow().empty_table())


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def opened(lake: Lake, topic: str = "topic") -> TradesTable:
    table = TradesTable(lambda: lake, NAME, topic)
    table.resume()
    return table


def step(batch: str, *numbers: int, partition: int = 0) -> Step:
    return Step(batch, rows(*numbers), {partition: max(numbers) + 1})


def test_a_missing_table_is_made_and_read_from_the_beginning(lake: Lake) -> None:
    assert TradesTable(lambda: lake, NAME, "topic").resume() == {}
    assert lake.load_table(NAME).properties["commit.manifest-merge.enabled"] == "true"


def test_offsets_come_back_with_the_rows(lake: Lake) -> None:
    table = opened(lake)
    table.append(step("a", 0, 1, 2), OWNED)
    table.append(step("b", 0, 1, partition=7), OWNED)
    assert TradesTable(lambda: lake, NAME, "topic").resume() == {0: 3, 7: 2}
    assert sequences(lake) == [0, 0, 1, 1, 2]


def test_a_batch_over_midnight_goes_into_two_partitions(lake: Lake) -> None:
    both = pa.concat_tables([rows(1, day=22), rows(2, day=23)])
    opened(lake).append(Step("a", both, {0: 3}), OWNED)
    partitions = lake.load_table(NAME).inspect.partitions()
    assert partitions["record_count"].to_pylist() == [1, 1]


def test_a_batch_of_nothing_but_poison_moves_the_offsets(lake: Lake) -> None:
    opened(lake).append(Step("a", trade.ARROW.empty_table(), {0: 9}), OWNED)
    assert TradesTable(lambda: lake, NAME, "topic").resume() == {0: 9}


def test_offsets_are_found_behind_an_empty_append_of_somebody_else(lake: Lake) -> None:
    opened(lake).append(step("a", 0, 1), OWNED)
    foreign_append(lake)
    assert TradesTable(lambda: lake, NAME, "topic").resume() == {0: 2}


def test_rows_without_offsets_are_refused(lake: Lake) -> None:
    opened(lake)
    stranger = TradesTable(lambda: lake, NAME, "topic")
    stranger.resume()
    stranger.append(step("a", 1), OWNED)
    assert lake.metadata is not None
    for snapshot in lake.metadata.snapshots:
        assert snapshot.summary is not None
        del snapshot.summary.additional_properties[PROPERTY]
    with pytest.raises(HistoryLostError, match=r"k2\.kafka-offsets"):
        opened(lake)


def test_an_empty_table_that_others_touched_is_filled_from_the_beginning(lake: Lake) -> None:
    opened(lake)
    foreign_append(lake)
    assert TradesTable(lambda: lake, NAME, "topic").resume() == {}


def test_a_table_of_another_topic_is_refused(lake: Lake) -> None:
    opened(lake).append(step("a", 1), OWNED)
    with pytest.raises(WrongTopicError, match="filled from topic, not from other"):
        opened(lake, "other")


def test_a_stranger_in_between_is_committed_on_top_of(lake: Lake) -> None:
    table, one = opened(lake), step("a", 0, 1)
    lake.before = [lambda: foreign_append(lake)]
    with pytest.raises(CommitFailedException):
        table.append(one, OWNED)
    table.append(one, OWNED)
    assert sequences(lake) == [0, 1]
    assert table.conflicts == 1


def test_a_try_that_was_refused_wrote_its_data_files_only_once(lake: Lake) -> None:
    table, one = opened(lake), step("a", 0, 1)
    lake.before = [lambda: foreign_append(lake)]
    with pytest.raises(CommitFailedException):
        table.append(one, OWNED)
    table.append(one, OWNED)
    assert len(list(lake.folder.rglob("*.parquet"))) == 1


def test_the_zombie_of_two_twins_ends_and_writes_nothing(lake: Lake) -> None:
    zombie, twin = opened(lake), opened(lake)
    zombie.append(step("a", 0), OWNED)
    with pytest.raises(CommitFailedException):
        twin.append(step("b", 0), OWNED)
    with pytest.raises(FencedError, match="another sink writes our partitions"):
        twin.append(step("b", 0), OWNED)
    assert sequences(lake) == [0]


def test_a_twin_that_reached_the_same_offsets_is_still_a_twin(lake: Lake) -> None:
    zombie, twin = opened(lake), opened(lake)
    lost = step("zombie", 0, 1)
    twin.append(step("twin", 0, 1), OWNED)
    for expected in (CommitFailedException, FencedError):
        with pytest.raises(expected):
            zombie.append(lost, OWNED)
    assert sequences(lake) == [0, 1]


def test_a_sink_with_other_partitions_is_no_twin(lake: Lake) -> None:
    one, other = opened(lake), opened(lake)
    one.append(step("a", 0), {0})
    mine = step("b", 5, partition=1)
    with pytest.raises(CommitFailedException):
        other.append(mine, {1})
    other.append(mine, {1})
    assert TradesTable(lambda: lake, NAME, "topic").resume() == {0: 1, 1: 6}


def test_a_commit_whose_answer_was_lost_is_not_repeated(lake: Lake) -> None:
    table, one = opened(lake), step("a", 0, 1)
    lake.lose_answer = True
    with pytest.raises(CommitStateUnknownException):
        table.append(one, OWNED)
    table.append(one, OWNED)
    table.append(step("b", 2), OWNED)
    assert sequences(lake) == [0, 1, 2]


def test_a_commit_that_never_arrived_is_repeated(lake: Lake) -> None:
    table, one = opened(lake), step("a", 0, 1)
    lake.lose_request = True
    with pytest.raises(ConnectionError):
        table.append(one, OWNED)
    table.append(one, OWNED)
    assert sequences(lake) == [0, 1]


def test_a_request_that_lands_before_the_next_try_counts_once(lake: Lake) -> None:
    table, one = opened(lake), step("a", 0, 1)
    lake.delay_request = True
    with pytest.raises(TimeoutError):
        table.append(one, OWNED)
    lake.before = [lake.commits[0]]
    with pytest.raises(CommitFailedException):
        table.append(one, OWNED)
    table.append(one, OWNED)
    assert sequences(lake) == [0, 1]


def test_a_request_that_lands_after_the_next_try_is_refused(lake: Lake) -> None:
    table, one = opened(lake), step("a", 0, 1)
    lake.delay_request = True
    with pytest.raises(TimeoutError):
        table.append(one, OWNED)
    table.append(one, OWNED)
    with pytest.raises(CommitFailedException):
        lake.commits[0]()
    assert sequences(lake) == [0, 1]


def test_a_request_that_lands_after_a_stranger_committed_is_refused(lake: Lake) -> None:
    table, one = opened(lake), step("a", 0, 1)
    lake.delay_request = True
    with pytest.raises(TimeoutError):
        table.append(one, OWNED)
    foreign_append(lake)
    with pytest.raises(CommitFailedException):
        lake.commits[0]()
    table.append(one, OWNED)
    assert sequences(lake) == [0, 1]


def test_the_late_commit_of_a_killed_process_ends_its_successor(lake: Lake) -> None:
    dead = opened(lake)
    lake.delay_request = True
    with pytest.raises(TimeoutError):
        dead.append(step("a", 0, 1), OWNED)
    successor = opened(lake)
    lake.commits[0]()
    repeated = step("b", 0, 1, 2)
    for expected in (CommitFailedException, FencedError):
        with pytest.raises(expected):
            successor.append(repeated, OWNED)
    third = TradesTable(lambda: lake, NAME, "topic")
    assert third.resume() == {0: 2}
    third.append(step("c", 2), OWNED)
    assert sequences(lake) == [0, 1, 2]


def test_a_dropped_table_ends_the_process_instead_of_being_filled_from_the_middle(
    lake: Lake,
) -> None:
    table = opened(lake)
    table.append(step("a", 0), OWNED)
    lake.metadata = None
    one = step("b", 1)
    with pytest.raises(Exception):  # noqa: B017, PT011 - the catalog's own, whichever
        table.append(one, OWNED)
    with pytest.raises(FencedError):
        table.append(one, OWNED)
