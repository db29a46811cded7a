"""Waiting for recovery, and reading the records of a run, on stages that answer over HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from k2chaos.errors import Interrupted
from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.reading import read_run
from k2chaos.judge.document import verdict_document
from k2chaos.pipeline import Exchange
from k2chaos.system.gathering import gather_records
from k2chaos.system.recovery import await_recovery
from k2chaos.system.run import Run
from tests.fakes.api import FakeApi, fake_api
from tests.fakes.clock import FakeClock
from tests.fakes.exchange import FakeExchange, fake_exchange
from tests.fakes.pipelines import lab_pipeline
from tests.fakes.runs import run_of
from tests.fakes.runtime import FakeRuntime
from tests.fakes.topic import time_of


@dataclass(frozen=True)
class Bench:
    """A run over a pipeline of exchange and API only."""

    run: Run
    exchange: FakeExchange
    api: FakeApi

    def service(self, name: str, verb: Any) -> None:
        runtime = self.run.runtime
        (target,) = [one for one in runtime.containers("k2-lab") if one.service == name]
        runtime.send(target, verb)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with fake_exchange(BTC=100, ETH=100) as exchange, fake_api() as api:
        api.put("BTC", *range(1, 101))
        api.put("ETH", *range(1, 101))
        pipeline = lab_pipeline(topic=None, table=None)
        pipeline = replace(pipeline, exchange=Exchange(exchange.url), api=api.api)
        run = run_of(pipeline, tmp_path)
        run = replace(run, baseline=Baseline(time_of(0), {"BTC": 90, "ETH": 90}))
        yield Bench(run, exchange, api)


def test_a_pipeline_that_is_well_has_recovered_at_once(bench: Bench) -> None:
    result = await_recovery(bench.run, 30.0)

    assert result["recovered"]
    assert 0.0 == result["service_seconds"] == result["caught_up_seconds"]
    assert 0.0 == result["worst_freshness_seconds"]
    (event,) = read_run(bench.run.folder.path).events_named("recovery")
    assert event["recovered"]
    assert {} == event["budgets"]


def test_a_missed_budget_of_the_experiment_fails_with_or_without_samples(bench: Bench) -> None:
    now = bench.run.clock.now().isoformat()
    past = datetime(2020, 1, 1, tzinfo=UTC)
    bench.run.folder.append_event(
        "fault", at=past, fault_id="pause-1", injected_at=now, healed_at=now
    )
    bench.run.clock.wait(5)
    await_recovery(bench.run, 30.0, {"fresh_seconds": 4.5, "service_seconds": 60})

    verdict = verdict_document(read_run(bench.run.folder.path))

    told = {reason["code"]: reason["text"] for reason in verdict["reasons"]}
    assert "pause-1: fresh_seconds: 5 s, budget 4.5 s" == told["recovery-budget"]
    assert "fail" == verdict["verdict"]


def test_a_service_that_does_not_run_keeps_the_pipeline_from_recovering(bench: Bench) -> None:
    bench.service("kafka", "pause")

    result = await_recovery(bench.run, 30.0)

    assert not result["recovered"]
    assert None is result["service_seconds"]
    assert 0.0 == result["caught_up_seconds"]
    assert "kafka is paused" == result["missing"]
    assert bench.run.clock.monotonic() >= 30.0


def test_a_record_that_does_not_arrive_keeps_the_pipeline_from_recovering(bench: Bench) -> None:
    bench.exchange.last_ids["ETH"] = 101

    result = await_recovery(bench.run, 30.0)

    assert not result["recovered"]
    assert None is result["caught_up_seconds"]
    assert "api still lacks records of ETH" == result["missing"]


def test_a_stage_that_refuses_is_simply_not_there_yet(bench: Bench) -> None:
    bench.api.server.break_off = True

    result = await_recovery(bench.run, 1.0)

    assert not result["recovered"]
    assert "api" in result["missing"]


def test_an_interrupt_ends_the_waiting(bench: Bench) -> None:
    bench.service("kafka", "pause")
    bench.run.interrupt.request("SIGTERM")

    with pytest.raises(Interrupted):
        await_recovery(bench.run, 30.0)


def test_the_records_of_the_run_are_gathered_and_counted(bench: Bench) -> None:
    gather_records(bench.run)

    evidence = read_run(bench.run.folder.path)
    assert evidence.window is not None
    assert 20 == evidence.window.expected
    assert 20 == evidence.records["api"].num_rows


def test_what_is_missing_and_what_is_there_twice_stands_in_the_verdict(bench: Bench) -> None:
    lost = ("BTC", "BINANCE-95")
    bench.api.trades = [
        trade for trade in bench.api.trades if (trade["symbol"], trade["trade_id"]) != lost
    ]
    bench.api.put("ETH", 96)

    gather_records(bench.run)
    verdict = verdict_document(read_run(bench.run.folder.path))

    assert {"expected": 20, "lost": 1, "duplicated": 1}.items() <= verdict["records"].items()
    assert {"lost", "duplicated"} == {one["anomaly"] for one in verdict["findings"]}


def test_a_stage_that_refuses_at_the_end_is_told_and_not_taken_for_empty(bench: Bench) -> None:
    bench.api.server.break_off = True

    gather_records(bench.run)

    evidence = read_run(bench.run.folder.path)
    records = verdict_document(evidence)["records"]
    assert {"expected": 20, "lost": None, "duplicated": None}.items() <= records.items()
    assert ["api"] == [one["stage"] for one in evidence.events_named("stage-unavailable")]
    assert {"exchange"} == evidence.records.keys()


def test_the_same_evidence_gives_the_same_verdict_document(bench: Bench) -> None:
    gather_records(bench.run)
    await_recovery(bench.run, 30.0)

    first, second = (verdict_document(read_run(bench.run.folder.path)) for _ in range(2))

    assert first == second


def test_a_faults_recovery_counts_from_injection_and_from_heal(bench: Bench) -> None:
    now = bench.run.clock.now()
    assert isinstance(bench.run.clock, FakeClock)
    assert isinstance(bench.run.runtime, FakeRuntime)
    bench.run.clock.wait(10)
    bench.run.folder.append_event(
        "fault",
        at=datetime(2020, 1, 1, tzinfo=UTC),
        kind="pause",
        injected_at=now.isoformat(),
        healed_at=bench.run.clock.now().isoformat(),
    )
    bench.run.clock.wait(2)
    await_recovery(bench.run, 30.0)

    (fault,) = verdict_document(read_run(bench.run.folder.path))["faults"]

    assert 12.0 == fault["recovery"]["from_injection"]["fresh_seconds"]
    assert 2.0 == fault["recovery"]["from_heal"]["service_seconds"]


def test_never_is_null_and_not_a_number(bench: Bench) -> None:
    bench.service("kafka", "pause")
    now = bench.run.clock.now().isoformat()
    past = datetime(2020, 1, 1, tzinfo=UTC)
    bench.run.folder.append_event("fault", at=past, injected_at=now, healed_at=now)
    await_recovery(bench.run, 1.0)

    verdict = verdict_document(read_run(bench.run.folder.path))

    assert None is verdict["faults"][0]["recovery"]["from_heal"]["service_seconds"]
    assert "never-recovered" in {reason["code"] for reason in verdict["reasons"]}


def test_what_was_in_buffers_is_no_flow(bench: Bench) -> None:
    """A client that sends what it had, and then hangs: nothing emitted since the call arrives."""
    bench.exchange.goes_on = True

    result = await_recovery(bench.run, 30.0)

    assert not result["recovered"]
    assert 0.0 == result["caught_up_seconds"] == result["fresh_seconds"]
    assert None is result["flow_seconds"]
    assert "api shows no record that was emitted since the fault ended" == result["missing"]


def test_flow_is_resumed_with_the_first_record_that_was_emitted_since(bench: Bench) -> None:
    bench.exchange.goes_on = True
    bench.api.put("BTC", *range(101, 111))

    result = await_recovery(bench.run, 30.0)

    assert result["recovered"], result["missing"]
