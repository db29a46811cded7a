"""Faults of the feed: ordered, witnessed by the exchange's counts, taken back."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from k2chaos.errors import (
    FaultNotHealed,
    FaultNotInjected,
    TargetNotReady,
    Unsupported,
    UsageError,
)
from k2chaos.evidence.ledger import read_ledger
from k2chaos.evidence.reading import read_run
from k2chaos.pipeline_file import PipelineFile
from k2chaos.system.disturbing import hold_feed
from k2chaos.system.faults import System, fault_to_json
from k2chaos.system.faults.catalogue import fault_from_json
from k2chaos.system.faults.feed import (
    Burst,
    DelayTrades,
    DisconnectStorm,
    DuplicateTrades,
    StallFeed,
)
from k2chaos.system.faults.held import Holding, held, watch
from k2chaos.system.run import Run
from k2chaos.system.runtime import Endpoint
from tests.fakes.endpoints import OnlyExchange
from tests.fakes.examples import FEED_EXAMPLES
from tests.fakes.exchange import FakeExchange, fake_exchange
from tests.fakes.pipelines import lab_tree
from tests.fakes.runs import fake_holding, fake_run
from tests.fakes.runtime import FakeRuntime


@pytest.fixture
def exchange() -> Iterator[FakeExchange]:
    with fake_exchange(BTCUSDT=420) as fake:
        yield fake


@pytest.fixture
def target(exchange: FakeExchange) -> Endpoint:
    return Endpoint("exchange", exchange.url)


@pytest.fixture
def holding(exchange: FakeExchange, tmp_path: Path) -> Holding:
    runtime = FakeRuntime()
    plain = fake_holding(runtime, tmp_path)
    return replace(plain, system=System(runtime, OnlyExchange(exchange.url)))


@pytest.mark.parametrize("kind", sorted(FEED_EXAMPLES))
def test_every_kind_is_ordered_counted_and_taken_back(
    kind: str, exchange: FakeExchange, target: Endpoint, holding: Holding, tmp_path: Path
) -> None:
    fault = FEED_EXAMPLES[kind](target)

    with held(fault, 5.0, holding) as hold:
        (order,) = exchange.orders.values()
        watch([hold], 2.0, holding)

    assert {} == exchange.orders
    assert hold.witness["injected"]["in_force"]
    assert not hold.witness["healed"]["in_force"]
    assert not hold.ended_early
    assert order["until_ms"] == exchange.now.timestamp() * 1000 + 120_000
    (entry,) = read_ledger(tmp_path / "state.jsonl").entries
    assert entry.was_witnessed
    assert fault_from_json(entry.fault) == hold.fault
    assert fault_from_json(fault_to_json(fault)) == fault


def test_the_order_says_how_much(
    exchange: FakeExchange, target: Endpoint, holding: Holding
) -> None:
    with held(DelayTrades(target, milliseconds=250), 5.0, holding):
        (order,) = exchange.orders.values()

    assert ("delay", 250) == (order["kind"], order["milliseconds"])


@pytest.mark.parametrize("broken", ["ignores", "idles"])
@pytest.mark.parametrize("kind", sorted(FEED_EXAMPLES))
def test_an_exchange_that_answers_and_does_nothing_is_no_witness(
    kind: str, broken: str, exchange: FakeExchange, target: Endpoint, holding: Holding
) -> None:
    exchange.broken = broken

    with (
        pytest.raises(FaultNotInjected, match="nothing of it can be seen"),
        held(FEED_EXAMPLES[kind](target), 5.0, holding),
    ):
        pytest.fail("the body ran without a witness")

    assert {} == exchange.orders


def test_what_another_order_did_is_no_witness(
    exchange: FakeExchange, target: Endpoint, holding: Holding
) -> None:
    with held(StallFeed(target), 5.0, holding):
        exchange.broken = "ignores"
        with pytest.raises(FaultNotInjected), held(StallFeed(target), 5.0, holding):
            pytest.fail("the body ran without a witness")


def test_an_exchange_that_forgets_ended_the_fault_early(
    exchange: FakeExchange, target: Endpoint, holding: Holding
) -> None:
    with held(StallFeed(target), 5.0, holding) as hold:
        exchange.orders.clear()

    assert hold.ended_early
    assert "does not know of it" in hold.witness["before_heal"]["ended"]


def test_an_exchange_that_was_restarted_ended_the_fault_early_and_says_so(
    exchange: FakeExchange, target: Endpoint, holding: Holding
) -> None:
    with held(StallFeed(target), 5.0, holding) as hold:
        exchange.restart()

    assert hold.ended_early
    assert "the exchange was restarted" == hold.witness["before_heal"]["ended"]
    assert hold.healed_at is not None


def test_an_exchange_that_clings_to_the_order_leaves_the_fault_on_record(
    exchange: FakeExchange, target: Endpoint, holding: Holding, tmp_path: Path
) -> None:
    exchange.broken = "clings"

    with (
        pytest.raises(FaultNotHealed, match="k2chaos heal"),
        held(StallFeed(target), 5.0, holding),
    ):
        pass

    assert 1 == len(read_ledger(tmp_path / "state.jsonl").open)


def test_an_exchange_that_is_gone_for_a_while_is_asked_again(
    exchange: FakeExchange, target: Endpoint, holding: Holding
) -> None:
    answer = exchange.server.answer
    left = [3]

    def failing(request: Any) -> Any:
        left[0] -= 1
        return (503, {}) if left[0] > 0 else answer(request)

    with held(StallFeed(target), 5.0, holding) as hold:
        exchange.server.answer = failing

    assert hold.ended_early, "nobody saw it then"
    assert hold.healed_at is not None
    assert {} == exchange.orders


def test_an_order_that_comes_after_it_was_taken_back_is_refused(
    exchange: FakeExchange, target: Endpoint, holding: Holding
) -> None:
    fault = StallFeed(target).prepare(holding.system)
    fault.heal(holding.system)

    with pytest.raises(TargetNotReady, match="status 409"):
        fault.inject(holding.system, holding.clock.now())

    assert {} == exchange.orders


def test_an_exchange_without_faults_is_told_before_anything_is_on_record(
    exchange: FakeExchange, target: Endpoint, holding: Holding, tmp_path: Path
) -> None:
    exchange.server.answer = lambda _: (404, {})

    with (
        pytest.raises(TargetNotReady, match="cannot be asked"),
        held(StallFeed(target), 5.0, holding),
    ):
        pytest.fail("the body ran")

    assert not (tmp_path / "state.jsonl").exists()


def test_an_order_never_lasts_longer_than_the_exchange_allows(
    exchange: FakeExchange, target: Endpoint, holding: Holding
) -> None:
    with held(StallFeed(target, longest_seconds=10_000), 5.0, holding):
        (order,) = exchange.orders.values()

    assert order["until_ms"] < exchange.now.timestamp() * 1000 + 3_600_000


@pytest.fixture
def run(exchange: FakeExchange, tmp_path: Path) -> Run:
    changes = {"exchange": {"control": exchange.url}}
    path = tmp_path / "lab.yaml"
    path.write_text(yaml.safe_dump(lab_tree(**changes)))
    plain = fake_run(tmp_path, **changes)
    return replace(plain, pipeline_file=PipelineFile(path, plain.pipeline, "", ()))


def test_an_action_holds_it_for_as_long_as_asked(
    exchange: FakeExchange, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LAB_S3_KEY", "LAB_S3_SECRET", "K2_API_KEY"):
        monkeypatch.setenv(name, "value")

    (entry,) = hold_feed(run, DuplicateTrades, 15.0, 0.0, percent=50)["faults"]

    assert ("exchange", 15.0, 15.0) == (
        entry["role"],
        entry["requested_seconds"],
        round(entry["achieved_seconds"], 1),
    )
    (put,) = [one for one in exchange.requests if one.method == "PUT"]
    assert 50 == put.json["percent"]
    assert put.json["until_ms"] == exchange.now.timestamp() * 1000 + 75_000
    assert 1 == len(read_run(run.folder.path).events_named("fault"))


def test_a_burst_is_held_like_a_fault_and_listed_as_an_injection(
    exchange: FakeExchange, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LAB_S3_KEY", "LAB_S3_SECRET", "K2_API_KEY"):
        monkeypatch.setenv(name, "value")

    result = hold_feed(run, Burst, 5.0, 0.0, factor=3)

    assert ["injections"] == [*result]
    evidence = read_run(run.folder.path)
    assert [] == [*evidence.events_named("fault")]
    assert ["burst"] == [one["kind"] for one in evidence.events_named("injection")]
    assert {} == exchange.orders
    assert () == run.open_faults()


@pytest.mark.parametrize("percent", [0, 0.001, -1, 100.1, True, "10", float("nan"), None])
def test_an_amount_that_makes_no_sense_is_refused_before_anything_is_asked(
    percent: Any, exchange: FakeExchange, run: Run
) -> None:
    with pytest.raises(UsageError, match=r"percent must be a number from 0\.1 to 100"):
        hold_feed(run, DuplicateTrades, 15.0, 0.0, percent=percent)

    assert [] == exchange.requests


@pytest.mark.parametrize("seconds", [-1, 601, "x"])
def test_a_bad_duration_is_refused_before_anything_is_asked(
    seconds: Any, exchange: FakeExchange, run: Run
) -> None:
    with pytest.raises(UsageError, match="duration"):
        hold_feed(run, DisconnectStorm, seconds, 0.0, every_seconds=1)

    assert [] == exchange.requests


def test_a_pipeline_without_exchange_is_unsupported_and_leaves_evidence(tmp_path: Path) -> None:
    run = fake_run(tmp_path, without=("exchange",))

    with pytest.raises(Unsupported, match="no exchange"):
        hold_feed(run, StallFeed, 1.0, 0.0)

    assert 1 == len(read_run(run.folder.path).events_named("unsupported"))
