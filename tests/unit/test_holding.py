"""Holding a fault on behalf of a run: what is refused, and what is recorded."""

import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from k2chaos.errors import (
    FaultNotInjected,
    Interrupted,
    RunError,
    TargetNotReady,
    Unsupported,
    UsageError,
)
from k2chaos.evidence.ledger import read_ledger
from k2chaos.evidence.reading import read_run
from k2chaos.system.faults.held import held, watch
from k2chaos.system.faults.process import Kill, Pause, Stop
from k2chaos.system.holding import Wish, hold_for
from k2chaos.system.run import Run
from k2chaos.system.runtime import Container, ContainerState, Runtime
from tests.fakes.clock import FakeClock
from tests.fakes.runs import FakeGuardian, fake_holding, fake_run
from tests.fakes.runtime import FakeRuntime


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return fake_run(tmp_path)


def _sent(runtime: Runtime) -> list[tuple[str, str]]:
    assert isinstance(runtime, FakeRuntime)
    return runtime.sent


def test_a_fault_is_held_for_as_long_as_asked_and_is_recorded(run: Run) -> None:
    (entry,) = hold_for(run, Pause, Wish("broker", 15.0))["faults"]

    assert (15.0, 15.0) == (entry["requested_seconds"], entry["achieved_seconds"])
    assert [("pause", "kafka"), ("unpause", "kafka")] == _sent(run.runtime)
    (event,) = read_run(run.folder.path).events_named("fault")
    assert ("broker", "pause") == (event["role"], event["kind"])


def test_several_containers_are_held_at_once_and_healed_the_last_one_first(run: Run) -> None:
    hold_for(run, Kill, Wish("registry", 1.0), count=2)

    names = ["schema-registry-1", "schema-registry-2"]
    killed, started = _sent(run.runtime)[:2], _sent(run.runtime)[2:]
    assert [("kill", name) for name in names] == sorted(killed)
    assert [("start", name) for name in reversed(names)] == started


def test_several_containers_strike_at_the_same_instant(run: Run) -> None:
    """Each waits in its injection until the other is in its own."""
    both = threading.Barrier(2, timeout=10)
    known: list[int] = []

    def meet(_container: object, verb: str) -> bool:
        if verb == "pause":
            known.append(len(run.open_faults()))
            both.wait()
        return False

    assert isinstance(run.runtime, FakeRuntime)
    run.runtime.broken = meet
    faults = hold_for(run, Pause, Wish("registry", 5.0, start_after_seconds=10.0), count=2)

    assert [2, 2] == known, "all of them are on disk before the first strikes"
    assert 2 == len(faults["faults"])
    assert () == run.open_faults()


def test_where_one_of_several_targets_is_not_ready_none_is_touched(run: Run) -> None:
    assert isinstance(run.runtime, FakeRuntime)
    (second,) = (one for one in run.runtime.states if one.service == "schema-registry-2")
    run.runtime.send(second, "pause")
    run.runtime.sent.clear()

    with pytest.raises(TargetNotReady, match="schema-registry-2"):
        hold_for(run, Kill, Wish("registry", 1.0), count=2)

    assert [] == run.runtime.sent
    assert () == read_ledger(run.folder.ledger).entries


def test_where_one_of_several_does_not_strike_all_are_healed_and_the_other_is_on_record(
    run: Run,
) -> None:
    assert isinstance(run.runtime, FakeRuntime)
    run.runtime.broken = lambda one, verb: (one.service, verb) == ("schema-registry-1", "pause")

    with pytest.raises(FaultNotInjected, match="schema-registry-1"):
        hold_for(run, Pause, Wish("registry", 1.0), count=2)

    (event,) = read_run(run.folder.path).events_named("fault")
    assert "schema-registry-2" == event["target"]
    assert all(state.is_running for state in run.runtime.states.values())
    assert () == run.open_faults()


def test_an_interrupt_while_several_wait_for_their_instant_strikes_none(run: Run) -> None:
    class Impatient(FakeClock):
        """Somebody ends the run while the instant is waited for."""

        def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
            if self.seconds > 5:
                run.interrupt.request("SIGTERM")
            return super().wait(min(seconds, 1.0), event)

    impatient = replace(run, clock=Impatient())

    with pytest.raises(Interrupted):
        hold_for(impatient, Pause, Wish("registry", 1.0, start_after_seconds=20.0), count=2)

    assert ("pause", "schema-registry-1") not in _sent(run.runtime)
    assert ("pause", "schema-registry-2") not in _sent(run.runtime)
    assert () == run.open_faults()


@pytest.mark.parametrize("seconds", [-1, 600.5, float("nan"), float("inf"), "5", None, True])
def test_a_duration_that_makes_no_sense_is_refused_before_anything_is_touched(
    seconds: Any, run: Run
) -> None:
    with pytest.raises(UsageError, match="duration"):
        hold_for(run, Pause, Wish("broker", seconds))

    assert [] == _sent(run.runtime)


def test_more_faults_than_the_limit_are_refused(tmp_path: Path) -> None:
    run = fake_run(tmp_path, limits={"faults_at_once": 1})

    with pytest.raises(UsageError, match=r"limits\.faults_at_once"):
        hold_for(run, Pause, Wish("registry", 1.0), count=2)

    assert [] == _sent(run.runtime)


def test_a_bad_duration_is_told_before_anything_is_asked_of_the_engine(run: Run) -> None:
    assert isinstance(run.runtime, FakeRuntime)
    run.runtime.states.clear()

    with pytest.raises(UsageError, match="duration"):
        hold_for(run, Pause, Wish("broker", -1.0))


def test_more_services_than_the_limit_are_refused(tmp_path: Path) -> None:
    run = fake_run(tmp_path, limits={"impaired_services_at_once": 1})

    with pytest.raises(UsageError, match=r"limits\.impaired_services_at_once"):
        hold_for(run, Pause, Wish("registry", 1.0), count=2)

    assert [] == _sent(run.runtime)


def test_open_faults_count_against_the_limit(tmp_path: Path) -> None:
    run = fake_run(tmp_path, limits={"faults_at_once": 1})
    (kafka,) = [one for one in run.runtime.containers("k2-lab") if one.service == "kafka"]
    holding = run.holding()

    with held(Pause(kafka), 1.0, holding), pytest.raises(UsageError, match="1 are open"):
        hold_for(run, Pause, Wish("sink", 1.0))


def test_a_role_that_the_pipeline_lacks_leaves_evidence(tmp_path: Path) -> None:
    run = fake_run(tmp_path, without=("exchange",))

    with pytest.raises(Unsupported):
        hold_for(run, Pause, Wish("exchange", 1.0))

    assert 1 == len(read_run(run.folder.path).events_named("unsupported"))


def test_an_interrupt_ends_the_wait_heals_and_is_an_error(run: Run) -> None:
    assert isinstance(run.runtime, FakeRuntime)

    def request(_container: object, verb: str) -> bool:
        if verb == "pause":
            run.interrupt.request("SIGTERM")
        return False

    run.runtime.broken = request
    with pytest.raises(Interrupted):
        hold_for(run, Pause, Wish("broker", 100.0))

    assert [("pause", "kafka"), ("unpause", "kafka")] == _sent(run.runtime)
    assert run.clock.monotonic() < 1


def test_a_fault_that_did_not_take_is_an_error_and_leaves_nothing_open(run: Run) -> None:
    assert isinstance(run.runtime, FakeRuntime)
    run.runtime.broken = lambda _container, verb: verb == "pause"

    with pytest.raises(FaultNotInjected):
        hold_for(run, Pause, Wish("broker", 1.0))

    assert () == run.open_faults()


def test_the_guardian_knows_of_a_fault_before_it_is_injected(run: Run) -> None:
    guardian = run.guardian
    assert isinstance(guardian, FakeGuardian)
    assert isinstance(run.runtime, FakeRuntime)
    known: list[tuple[int, int]] = []

    def look(_container: object, verb: str) -> bool:
        if verb == "pause":
            known.append((guardian.told, len(run.open_faults())))
        return False

    run.runtime.broken = look
    hold_for(run, Pause, Wish("sink", 0.0))

    assert [(1, 1)] == known


def test_without_a_guardian_nothing_is_injected_and_nothing_stays_open(run: Run) -> None:
    guardian = run.guardian
    assert isinstance(guardian, FakeGuardian)
    guardian.is_there = False

    with pytest.raises(RunError, match="no guardian"):
        hold_for(run, Pause, Wish("sink", 1.0))

    assert [] == _sent(run.runtime)
    assert () == run.open_faults()


class _SlowRuntime(FakeRuntime):
    """Its answers take a while, each another one."""

    def __init__(self, clock: FakeClock, took: Iterator[float]) -> None:
        super().__init__()
        self.clock, self.took = clock, took

    def state(self, container: Container) -> ContainerState:
        self.clock.wait(next(self.took))
        return super().state(container)


@pytest.mark.parametrize("last", [0.0, 0.4, 1.1])
def test_it_is_held_for_as_long_as_asked_however_long_the_last_look_takes(
    last: float, tmp_path: Path
) -> None:
    clock = FakeClock()
    took = iter(itertools.chain([0.0] * 4, [0.6] * 4, itertools.repeat(last)))
    runtime = _SlowRuntime(clock, took)
    target = runtime.add("kafka")
    holding = replace(fake_holding(runtime, tmp_path), clock=clock)

    with held(Pause(target), 20.0, holding) as hold:
        watch([hold], 6.0, holding)

    assert pytest.approx(6.0, abs=0.03) == hold.held_seconds


@pytest.mark.parametrize("took", [0.0, 0.004, 0.02, 0.1])
def test_an_engine_that_is_kept_awake_does_not_delay_the_start(took: float, tmp_path: Path) -> None:
    clock = FakeClock()
    runtime = _SlowRuntime(clock, itertools.repeat(took))
    target = runtime.add("kafka")
    holding = replace(fake_holding(runtime, tmp_path), clock=clock)
    begin_at = clock.now() + timedelta(seconds=10)

    with held(Pause(target), 20.0, holding, begin_at) as hold:
        pass

    assert hold.sent_at is not None
    late = hold.sent_at + timedelta(seconds=Pause.lead_seconds) - begin_at
    assert timedelta() <= late < timedelta(milliseconds=1.1)


@pytest.mark.parametrize("kind", [Pause, Stop])
def test_a_heal_is_sent_before_the_end_by_what_its_way_takes(
    kind: type[Pause | Stop], tmp_path: Path
) -> None:
    clock = FakeClock()
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    holding = replace(fake_holding(runtime, tmp_path), clock=clock)

    with held(kind(target), 20.0, holding) as hold:
        hold.began_at, began = clock.now(), clock.monotonic()
        watch([hold], 6.0, holding)

    assert pytest.approx(began + 6.0 - kind.heal_lead_seconds, abs=1e-6) == hold.held_until
