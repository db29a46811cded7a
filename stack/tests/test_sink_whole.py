"""The whole sink, on a broker in this process: bugs on purpose, bad records, a stop in between."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sink_catalog import Lake
from sink_kafka import Broker, Running, running, settings, wait_until
from test_sink_codec import a_trade, schema, wire
from test_sink_table import sequences

from consumer_crypto.errors import StrandedError
from consumer_crypto.health import assess


class Store(Lake):
    """Away, or slow, as told."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.away = False
        self.tries = 0
        self.let_pass = threading.Event()
        self.let_pass.set()

    def commit_table(self, table: Any, requirements: Any, updates: Any) -> Any:
        self.tries += 1
        self.let_pass.wait()
        if self.away:
            raise ConnectionError
        return super().commit_table(table, requirements, updates)


@pytest.fixture
def lake(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def broker() -> Broker:
    return Broker()


def rows(lake: Lake) -> int:
    return len(sequences(lake)) if lake.metadata is not None else 0


@pytest.mark.parametrize(
    "bugs, left", [((), range(110)), (("sink-offsets-first",), range(100, 110))]
)
def test_a_sink_killed_before_its_commit_loses_the_batch_only_with_the_bug(
    lake: Store, broker: Broker, bugs: tuple[str, ...], left: range
) -> None:
    broker.write_trades(range(100))
    lake.away = True
    with running(lake, broker, *bugs) as first:
        wait_until(lambda: lake.tries > 1)
        assert broker.committed() == (100 if bugs else 0)
        first.kill()
    lake.away = False
    with running(lake, broker, *bugs) as second:
        broker.write_trades(range(100, 110))
        wait_until(lambda: rows(lake) >= len(left))
        assert assess(second.vitals, time.monotonic())[0]
    assert second.failure is None
    assert sequences(lake) == list(left)


def test_the_bug_loses_nothing_while_nothing_breaks(lake: Store, broker: Broker) -> None:
    for numbers in (range(50), range(50, 100)):
        broker.write_trades(numbers)
        with running(lake, broker, "sink-offsets-first") as sink:
            wait_until(lambda end=numbers.stop: rows(lake) >= end)  # type: ignore[misc]
        assert sink.failure is None
    assert sequences(lake) == list(range(100))


def test_the_bug_doubles_nothing_when_kafka_was_told_less_than_the_table_has(
    lake: Store, broker: Broker
) -> None:
    broker.write_trades(range(100))
    with running(lake, broker, group_id="another"):
        wait_until(lambda: rows(lake) == 100)
    with running(lake, broker, "sink-offsets-first"):
        broker.write_trades(range(100, 110))
        wait_until(lambda: rows(lake) >= 110)
    assert sequences(lake) == list(range(110))


def test_all_that_was_read_is_in_the_table_after_a_stop_however_many_batches_it_takes(
    lake: Store, broker: Broker
) -> None:
    with running(lake, broker, batch_records=50) as sink:
        lake.let_pass.clear()
        broker.write_trades(range(200))
        wait_until(lambda: (REGISTRY.get_sample_value("k2_sink_buffered_records") or 0) >= 100)
        read = 50 + int(REGISTRY.get_sample_value("k2_sink_buffered_records") or 0)
        sink.ask_to_stop()
        lake.let_pass.set()
    assert sink.failure is None
    assert rows(lake) >= read


def test_bad_records_go_to_the_dead_letters_with_their_reason_and_good_ones_into_the_table(
    lake: Store, broker: Broker
) -> None:
    other = schema(price="double")
    broker.write(
        None,
        b"",
        b"\0\0\0\0\3" + b"\xff" * 1_000_000,
        wire(a_trade(trade_conditions=["x" * 1_000_000]), schema())[:-1],
        wire(a_trade(side="SELL", price=1.5), other),
        wire(a_trade(source_sequence=7, trade_conditions=["x" * 900_000]), schema()),
    )
    with running(lake, broker):
        letters = broker.letters(5)
        wait_until(lambda: rows(lake) == 1)
        broker.write_trades(range(8, 9))
        wait_until(lambda: rows(lake) == 2)
    assert sequences(lake) == [7, 8]
    reasons = sorted((one["reason"], one.get("cut-value", b"")) for one in letters)
    assert [reason for reason, _ in reasons].count(b"corrupt-avro") >= 2
    assert {b"no-value", b"bad-magic"} <= {reason for reason, _ in reasons}
    assert [cut for _, cut in reasons if cut] == [b"1000005", b"1000075"]


def test_a_sink_that_reaches_kafka_but_gets_no_partition_ends_instead_of_idling(
    lake: Store, broker: Broker
) -> None:
    with running(lake, broker) as first:
        wait_until(lambda: first.vitals.partitions > 0)
        first.stop()
        # This broker lets nobody into a group that its last member left.
        stranded = Running(lake, settings(broker, frozenset()))
        wait_until(lambda: stranded.failure is not None)
    assert isinstance(stranded.failure, StrandedError)
