"""Faults and injections of topic and table: witnessed by broker and catalog, undone exactly."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from k2chaos.errors import (
    FaultNotHealed,
    FaultNotInjected,
    TargetNotReady,
    Unsupported,
    UsageError,
)
from k2chaos.evidence.ledger import read_ledger
from k2chaos.evidence.reading import read_run
from k2chaos.system.amounts import refuse_bad_amount
from k2chaos.system.disturbing import hold_at_stage, longest_of
from k2chaos.system.endpoints import endpoint_of
from k2chaos.system.faults import System, fault_to_json
from k2chaos.system.faults.catalogue import INJECTIONS, fault_from_json
from k2chaos.system.faults.group import ImpersonateSink, JoinGroup
from k2chaos.system.faults.held import Holding, held, watch
from k2chaos.system.faults.records import OversizedRecord, PoisonRecords, poisoned
from k2chaos.system.faults.table import ConflictCommits
from k2chaos.system.faults.topic import SqueezeRecordSize, StarveWrites
from k2chaos.system.holding import Wish
from k2chaos.system.kafka import Member
from k2chaos.system.runtime import Endpoint
from k2chaos.system.table_control import Commit
from tests.fakes.disturbance import FakeEndpoints, fake_endpoints
from tests.fakes.examples import DATA_EXAMPLES
from tests.fakes.pipelines import lab_pipeline
from tests.fakes.runs import fake_holding, fake_run
from tests.fakes.runtime import FakeRuntime

TOPIC = Endpoint("topic", "trades")
TABLE = Endpoint("table", "market_data.trades")


@pytest.fixture
def endpoints() -> FakeEndpoints:
    return fake_endpoints()


@pytest.fixture
def holding(endpoints: FakeEndpoints, tmp_path: Path) -> Holding:
    runtime = FakeRuntime()
    return replace(fake_holding(runtime, tmp_path), system=System(runtime, endpoints))


@pytest.mark.parametrize("kind", sorted(DATA_EXAMPLES))
def test_every_kind_is_witnessed_and_gone_after(
    kind: str, holding: Holding, tmp_path: Path
) -> None:
    with held(DATA_EXAMPLES[kind](TOPIC), 5.0, holding) as hold:
        watch([hold], 2.0, holding)

    assert hold.healed_at is not None
    assert not hold.ended_early
    (entry,) = read_ledger(tmp_path / "state.jsonl").entries
    assert entry.was_witnessed
    assert hold.fault == fault_from_json(entry.fault)
    assert hold.fault == fault_from_json(fault_to_json(hold.fault))


@pytest.mark.parametrize("kind", sorted({*DATA_EXAMPLES} - {*INJECTIONS}))
def test_every_kind_is_healed_by_what_the_ledger_holds_and_twice(
    kind: str, endpoints: FakeEndpoints, holding: Holding
) -> None:
    system = System(FakeRuntime(), endpoints)
    fault = DATA_EXAMPLES[kind](TOPIC).prepare(system)
    fault.inject(system, datetime(2026, 1, 1, tzinfo=UTC))
    was_active = fault.observe(system).active

    healer = fault_from_json(fault_to_json(fault))
    healer.heal(system)
    healer.heal(system)
    endpoints.tables.moment = endpoints.tables.moment.replace(hour=13)

    assert was_active
    assert not healer.observe(system).active


@pytest.mark.parametrize("before", [None, 5000.0])
def test_the_quota_of_before_is_restored(
    before: float | None, endpoints: FakeEndpoints, holding: Holding
) -> None:
    endpoints.topics.set_byte_rate("", before)

    with held(StarveWrites(TOPIC), 5.0, holding) as hold:
        assert endpoints.topics.byte_rate("") == 1000.0

    assert endpoints.topics.byte_rate("") == before
    assert hold.witness["before_heal"]["records_per_second"] < 50


@pytest.mark.parametrize("before", [None, "9000"])
def test_the_size_limit_of_before_is_restored(
    before: str | None, endpoints: FakeEndpoints, holding: Holding
) -> None:
    endpoints.topics.override = before

    with held(SqueezeRecordSize(TOPIC), 5.0, holding):
        assert endpoints.topics.override == "100"

    assert endpoints.topics.override == before


@pytest.mark.parametrize(
    "fault, ignored",
    [
        (StarveWrites(TOPIC), "quota"),
        (StarveWrites(TOPIC, client_id="somebody-else"), ""),
        (SqueezeRecordSize(TOPIC), "size"),
        (JoinGroup(TOPIC), "join"),
        (ImpersonateSink(TOPIC), "join"),
        (PoisonRecords(TOPIC), "write"),
    ],
    ids=["quota", "quota of another client", "size", "member", "impostor", "poison"],
)
def test_what_the_broker_accepts_and_does_not_do_is_no_fault(
    fault: Any, ignored: str, endpoints: FakeEndpoints, holding: Holding
) -> None:
    endpoints.topics.ignores.add(ignored)

    with pytest.raises(FaultNotInjected), held(fault, 5.0, holding):
        pytest.fail("the body ran without a witness")


@pytest.mark.parametrize("is_busy", [False, True], ids=["nobody", "others"])
def test_a_writer_whose_commits_do_not_come_is_no_fault_whoever_else_writes(
    endpoints: FakeEndpoints, holding: Holding, *, is_busy: bool
) -> None:
    endpoints.tables.is_deaf, endpoints.tables.is_busy = True, is_busy

    with pytest.raises(FaultNotInjected), held(ConflictCommits(TABLE), 5.0, holding):
        pytest.fail("the body ran without a witness")


def test_commits_of_others_are_counted_beside_ours(
    endpoints: FakeEndpoints, holding: Holding
) -> None:
    with held(ConflictCommits(TABLE), 5.0, holding) as hold:
        now = endpoints.tables.now()
        endpoints.tables.history.append(Commit("", now, "append"))
        endpoints.tables.history.append(Commit("another", now, "append"))

    assert hold.witness["before_heal"]["appends_of_others"] == 1


def test_a_member_that_stays_is_not_healed(endpoints: FakeEndpoints, holding: Holding) -> None:
    endpoints.topics.ignores.add("leave")

    with (
        pytest.raises(FaultNotHealed, match="k2chaos heal"),
        held(JoinGroup(TOPIC), 5.0, holding),
    ):
        pass


def test_an_impostor_that_was_fenced_for_good_ended_early(
    endpoints: FakeEndpoints, holding: Holding
) -> None:
    with held(ImpersonateSink(TOPIC), 5.0, holding) as hold:
        endpoints.topics.group = [Member("id-new", "consumer-crypto", "consumer-crypto-1", 40)]

    assert hold.ended_early
    assert [one.member_id for one in endpoints.topics.group] == ["id-new"]


@pytest.mark.parametrize(
    "fault, why",
    [(JoinGroup(TOPIC), "nobody is in the group"), (ImpersonateSink(TOPIC), "nobody")],
)
def test_an_empty_group_cannot_be_disturbed(
    fault: Any, why: str, endpoints: FakeEndpoints, holding: Holding
) -> None:
    endpoints.topics.group = []

    with pytest.raises(TargetNotReady, match=why), held(fault, 5.0, holding):
        pytest.fail("the body ran")


def test_a_sink_without_a_static_name_cannot_be_impersonated(
    endpoints: FakeEndpoints, holding: Holding
) -> None:
    endpoints.topics.group = [Member("id", "sink", "", 40)]

    with pytest.raises(TargetNotReady, match=r"group\.instance\.id"):
        ImpersonateSink(TOPIC).prepare(holding.system)


def test_an_idle_topic_cannot_be_starved(endpoints: FakeEndpoints, holding: Holding) -> None:
    endpoints.topics.records_per_second = 3

    with pytest.raises(TargetNotReady, match="only 3 records a second"):
        StarveWrites(TOPIC).prepare(holding.system)


def test_what_is_as_small_already_is_not_squeezed(
    endpoints: FakeEndpoints, holding: Holding
) -> None:
    endpoints.topics.override = "90"
    endpoints.topics.set_byte_rate("somebody", 900.0)

    with pytest.raises(TargetNotReady, match="no more than 90 already"):
        SqueezeRecordSize(TOPIC).prepare(holding.system)
    with pytest.raises(TargetNotReady, match="900 bytes a second already"):
        StarveWrites(TOPIC, client_id="somebody").prepare(holding.system)


def test_each_poison_fails_in_its_own_way() -> None:
    whole = b"\x00\x00\x00\x00\x07" + b"abcdefgh"

    assert poisoned("bad-magic", None)[0] != 0
    assert poisoned("unknown-schema", None)[:5] == b"\x00\x7f\xff\xff\xff"
    assert poisoned("truncated", whole) == b"\x00\x00\x00\x00\x07abcd"
    with pytest.raises(TargetNotReady, match="no record of the source"):
        poisoned("truncated", None)


@pytest.mark.parametrize("size, taken", [(2_000_000, 0), (1000, 1)])
def test_an_oversized_record_is_refused_or_taken(size: int, taken: int, holding: Holding) -> None:
    with held(OversizedRecord(TOPIC, size), 0.0, holding) as hold:
        pass

    assert hold.witness["healed"]["records_in_topic"] == taken
    assert hold.witness["healed"]["too_large"] is (taken == 0)


def test_a_pipeline_without_a_topic_has_nothing_to_disturb(tmp_path: Path) -> None:
    run = fake_run(tmp_path, topic=None)

    with pytest.raises(Unsupported, match="has no topic"):
        hold_at_stage(run, StarveWrites, Wish("broker", 5.0))

    assert [one["event"] for one in read_run(run.folder.path).events] == ["unsupported"]


def test_two_of_a_kind_are_refused_for_each_would_restore_the_other(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    fault = fault_to_json(StarveWrites(endpoint_of(run.pipeline, "topic")))
    run.ledger.tried("starve-writes-1", fault, run.clock.now(), at=run.clock.now())

    with pytest.raises(UsageError, match="both change the quota of producers of topic"):
        hold_at_stage(run, StarveWrites, Wish("broker", 5.0))


@pytest.mark.parametrize("value", [0, -1, True, "much", float("nan"), 11])
def test_a_number_out_of_bounds_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="from 1 to 10"):
        refuse_bad_amount("records", value)


def test_a_thread_of_ours_outlives_its_holding_by_a_minute_at_most() -> None:
    assert longest_of(Wish("sink", 10.0, 5.0)) == 75.0


@pytest.mark.parametrize(
    "service, kind, role",
    [
        ("kafka", StarveWrites, "broker"),
        ("consumer-crypto", JoinGroup, "sink"),
        ("iceberg-rest", ConflictCommits, "sink"),
    ],
)
def test_what_the_pipeline_file_forbids_is_not_touched_through_its_stage(
    service: str, kind: Any, role: str, tmp_path: Path
) -> None:
    run = fake_run(tmp_path, limits={"never": [service]})

    with pytest.raises(UsageError, match=f"limits.never .* forbids touching {service}"):
        hold_at_stage(run, kind, Wish(role, 5.0))

    assert () == run.open_faults()


def test_where_a_stage_is_names_its_broker_or_catalog_and_no_secret() -> None:
    pipeline = lab_pipeline()
    topic, table = pipeline.topic, pipeline.table
    assert topic is not None
    assert table is not None
    catalog = {"uri": "postgresql+psycopg://iceberg:secret@db:5432/catalog"}
    pipeline = replace(pipeline, table=replace(table, catalog=catalog))

    told = [endpoint_of(pipeline, stage).address for stage in ("topic", "table")]

    assert [f"{topic.bootstrap}/{topic.name}", f"db:5432/{table.name}"] == told
