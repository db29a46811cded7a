"""
Advanced scenarios: load, crowds, chaos, exhaustion and upkeep, each on real records.

Beyond the core suite (`make test-e2e-scenarios`): every one of them ends with an audit of all that
was emitted meanwhile. Outages go through k2chaos, as everywhere here.
"""

import asyncio
import math
import random
import struct
import uuid
from typing import Any, Final

import pytest
from pyiceberg.table.snapshots import Operation

from k2chaos.system.faults.network.partition import Partition
from k2chaos.system.faults.process import Crash, Kill, Pause, Restart, Stop
from k2chaos.system.faults.resources import SqueezeCpu
from k2chaos.system.runtime import select
from tests.e2e.content import ends, iceberg_table, messages, produce
from tests.e2e.crowd import crowd
from tests.e2e.lab import USUAL_RATE, Lab
from tests.e2e.metrics import Measured
from tests.e2e.paths import covers
from tests.e2e.recording import freshness_of

pytestmark = pytest.mark.scenario

FRESHNESS_SECONDS: Final = 30.0
HEAVY_RATE: Final = 5_000
"""The most that the exchange emits; 50 times the market's usual pace."""
POISON: Final = 500
PARTITION_SECONDS: Final = 20.0
CHAOS_SEED: Final = 20_261_125
CHAOS: Final[tuple[tuple[type[Any], str], ...]] = (
    (Pause, "source"),
    (Kill, "sink"),
    (Crash, "api"),
    (Pause, "broker"),
    (Stop, "source"),
    (Kill, "store"),
    (Restart, "sink"),
    (Pause, "catalog"),
    (Crash, "exchange"),
    (Pause, "catalog-db"),
)
CHAOS_HELD_SECONDS: Final = 3.0


@covers("exchange -> topic", "topic -> table", "table -> API", "catch-up")
def test_fifty_times_the_usual_load_arrives_to_the_record(lab: Lab, measured: Measured) -> None:
    lab.await_well()
    baseline = lab.baseline()
    with lab.flowing(HEAVY_RATE), freshness_of(lab) as seen:
        arriving = lab.stages.throughput_records_per_second("api", 20.0)
    window = lab.stages.window_since(baseline)
    lab.await_arrival(window, "api", 60)

    measured.values(records_per_second=arriving, worst_freshness_seconds=max(seen))
    assert window.expected > 20 * HEAVY_RATE * 0.9
    assert max(seen) < FRESHNESS_SECONDS
    lab.audit(window, baseline)


@covers("topic -> DLQ", "topic -> table")
def test_a_storm_of_poison_delays_no_good_record_and_none_of_it_is_lost(
    lab: Lab, measured: Measured
) -> None:
    topic = lab.pipeline.topic
    assert topic is not None
    lab.await_well()
    baseline, before = lab.baseline(), ends(lab.pipeline, topic.dlq)
    poison = [struct.pack(">bI", 7, 0) + uuid.uuid4().bytes for _ in range(POISON)]
    with lab.flowing(500), freshness_of(lab) as seen:
        produce(lab.pipeline, poison)
        letters = lab.wait_until(
            lambda: list(messages(lab.pipeline, topic.dlq, before)),
            lambda found: len(found) >= POISON,
            f"{POISON} dead letters",
            60,
        )
    window = lab.stages.window_since(baseline)

    measured.values(worst_freshness_seconds=max(seen))
    assert sorted(poison) == sorted(one.value or b"" for one in letters)
    assert max(seen) < FRESHNESS_SECONDS
    lab.audit(window, baseline, ("table", "api"))


@covers("API under load", "API degraded reads")
async def test_two_hundred_users_are_answered_while_the_catalog_is_frozen(
    lab: Lab, measured: Measured
) -> None:
    with lab.outage(Pause, "catalog"):
        seen = await crowd(lab.pipeline, users=200, seconds=8.0, pause_seconds=1.0)
    await asyncio.to_thread(lab.await_well)

    marks = measured.marks("latency_seconds", seen.seconds)
    measured.values(requests_per_second=seen.requests_per_second, users=200)
    assert {200} == seen.statuses
    assert len(seen.seconds) > 200 * 4
    assert marks["p95"] <= 1.0


@covers("replay after restart", "catch-up")
def test_a_starved_sink_falls_behind_and_catches_up(lab: Lab, measured: Measured) -> None:
    lab.await_well()
    baseline = lab.baseline()
    with lab.flowing(1_000):
        with lab.outage(SqueezeCpu, "sink", cores=0.02):
            stalest = lab.wait_until(
                lab.freshness, lambda age: age > 10, "the API more than 10 s stale", 60
            )
        began = lab.clock.monotonic()
        lab.wait_until(lab.freshness, lambda age: age < 5, "the API fresh again", 60)
        measured.values(stalest_seconds=stalest, fresh_seconds=lab.clock.monotonic() - began)
    window = lab.stages.window_since(baseline)

    lab.audit(window, baseline)


@covers("topic -> table", "table -> API", "catch-up")
def test_a_sink_that_is_cut_off_from_the_broker_catches_up_to_the_record(
    lab: Lab, measured: Measured
) -> None:
    lab.await_well()
    baseline = lab.baseline()
    with lab.flowing(1_000):
        with lab.breaking("sink-cut-off") as breaking:
            broker = select(breaking.run.runtime, breaking.run.pipeline, "broker")
            with breaking.hold(Partition, "sink", peers=broker) as hold:
                breaking.watch(hold, PARTITION_SECONDS)
                stalest = lab.freshness()
        began = lab.clock.monotonic()
        lab.wait_until(lab.freshness, lambda age: age < 5, "the API fresh again", 60)
        measured.values(stalest_seconds=stalest, fresh_seconds=lab.clock.monotonic() - began)
    window = lab.stages.window_since(baseline)

    assert not hold.ended_early
    assert stalest > PARTITION_SECONDS / 2
    lab.audit(window, baseline)


@covers("exchange -> topic", "topic -> table", "table -> API", "replay after restart")
def test_ten_faults_in_a_row_cost_no_record(lab: Lab, measured: Measured) -> None:
    order = list(CHAOS)
    random.Random(CHAOS_SEED).shuffle(order)
    lab.await_well()
    baseline = lab.baseline()
    with lab.flowing(USUAL_RATE), freshness_of(lab) as seen:
        with lab.breaking("ten-in-a-row") as breaking:
            for kind, role in order:
                with breaking.hold(kind, role) as hold:
                    breaking.watch(hold, CHAOS_HELD_SECONDS)
        lab.await_well(120)
    window = lab.stages.window_since(baseline)

    # While the API itself is away nobody can say how stale it is.
    readable = [age for age in seen if math.isfinite(age)]
    measured.values(worst_freshness_seconds=max(readable), faults=len(order))
    assert window.expected > USUAL_RATE * CHAOS_HELD_SECONDS * len(order) / 2
    lab.audit(window, baseline)


@covers("table upkeep")
def test_putting_files_together_changes_no_row(lab: Lab, measured: Measured) -> None:
    lab.await_well()
    began = lab.clock.now().timestamp() * 1000

    def compactions() -> list[tuple[int, int]]:
        """Snapshot and parent of each compaction since the test began."""
        return [
            (one.snapshot_id, one.parent_snapshot_id)
            for one in iceberg_table(lab.pipeline).snapshots()
            if one.timestamp_ms > began
            and one.parent_snapshot_id is not None
            and one.summary is not None
            and one.summary.operation is Operation.REPLACE
        ]

    with lab.flowing(USUAL_RATE):
        found = lab.wait_until(compactions, bool, "files put together", 240)
    table = iceberg_table(lab.pipeline)
    for snapshot, parent in found:
        before, after = (_ids(lab, one) for one in (parent, snapshot))
        assert before
        assert before == after
    files = len(list(table.scan().plan_files()))
    measured.values(compactions=len(found), files=files)


def _ids(lab: Lab, snapshot: int) -> list[tuple[str, int]]:
    """Every row of a snapshot."""
    columns = ("symbol", "source_sequence")
    rows = iceberg_table(lab.pipeline).scan(selected_fields=columns, snapshot_id=snapshot)
    table = rows.to_arrow().sort_by([(name, "ascending") for name in columns])
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True))
