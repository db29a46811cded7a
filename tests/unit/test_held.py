"""What `held` promises, on a runtime of containers in memory."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from k2chaos import actions
from k2chaos.errors import (
    EngineUnreachable,
    FaultNotHealed,
    FaultNotInjected,
    Interrupted,
    TargetNotReady,
)
from k2chaos.evidence.ledger import read_ledger
from k2chaos.system.faults import Fault, System, fault_to_json
from k2chaos.system.faults.catalogue import FAULTS, INJECTIONS, fault_from_json, kind_of_action
from k2chaos.system.faults.healing import heal_ledger
from k2chaos.system.faults.held import Holding, heal, held, held_together, new_hold, watch
from k2chaos.system.faults.process import Crash, Pause, Stop
from k2chaos.system.interrupt import SIGNALS
from k2chaos.system.runtime import Container, ContainerState, Verb
from tests.fakes.clock import FakeClock
from tests.fakes.examples import DATA_EXAMPLES, EXAMPLES, FEED_EXAMPLES, PEER
from tests.fakes.runs import fake_holding
from tests.fakes.runtime import FakeRuntime

ALL_KINDS: tuple[Callable[[Any], Fault], ...] = tuple(EXAMPLES.values())


def _holding(runtime: FakeRuntime, folder: Path) -> Holding:
    return fake_holding(runtime, folder, folder / "copy.jsonl")


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_held_fault_is_witnessed_and_gone_afterwards(
    kind: Callable[[Any], Fault], tmp_path: Path
) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.add(PEER)
    holding = _holding(runtime, tmp_path)

    with held(kind(target), 1.0, holding) as hold:
        assert hold.injected_at is not None

    assert runtime.state(target).is_running
    (entry,) = read_ledger(tmp_path / "state.jsonl").entries
    assert ["tried", "active", "healed"] == [event["event"] for event in entry.events]
    assert not hold.ended_early


def test_the_ledger_says_tried_before_anything_is_injected(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    holding = _holding(runtime, tmp_path)
    on_disk: list[int] = []

    def look(_container: object, verb: str) -> bool:
        if verb == "pause":
            on_disk.append(len(read_ledger(tmp_path / "state.jsonl").entries))
        return False

    runtime.broken = look
    with held(Pause(target), 1.0, holding):
        pass

    assert [1] == on_disk


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_fault_that_changes_nothing_is_an_error_not_a_pass(
    kind: Callable[[Any], Fault], tmp_path: Path
) -> None:
    runtime = FakeRuntime(broken=lambda _container, _verb: True)
    target = runtime.add("kafka")
    runtime.add(PEER)

    with (
        pytest.raises(FaultNotInjected, match="nothing of it can be seen"),
        held(kind(target), 1.0, _holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran without a witness")

    (entry,) = read_ledger(tmp_path / "state.jsonl").entries
    assert not entry.was_witnessed
    assert not entry.is_open


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_container_that_is_frozen_already_is_not_touched(
    kind: Callable[[Any], Fault], tmp_path: Path
) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.add(PEER)
    runtime.send(target, "pause")
    runtime.sent.clear()

    with (
        pytest.raises(TargetNotReady, match="paused"),
        held(kind(target), 1.0, _holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran")

    assert [] == runtime.sent
    assert not (tmp_path / "state.jsonl").exists()


def test_a_heal_that_is_refused_once_is_tried_again(tmp_path: Path) -> None:
    runtime = FakeRuntime(refused_once={"unpause"})
    target = runtime.add("kafka")

    with held(Pause(target), 1.0, _holding(runtime, tmp_path)):
        pass

    assert runtime.state(target).is_running
    assert 2 == runtime.sent.count(("unpause", "kafka"))


def test_a_heal_that_never_works_is_loud_and_stays_open(tmp_path: Path) -> None:
    runtime = FakeRuntime(broken=lambda _container, verb: verb == "unpause")
    target = runtime.add("kafka")

    with (
        pytest.raises(FaultNotHealed, match="k2chaos heal pause-"),
        held(Pause(target), 1.0, _holding(runtime, tmp_path)),
    ):
        pass

    assert 1 == len(read_ledger(tmp_path / "state.jsonl").open)
    assert 1 == len(read_ledger(tmp_path / "copy.jsonl").open)


def test_the_body_may_fail_and_the_fault_is_healed_all_the_same(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")

    with (
        pytest.raises(KeyboardInterrupt),
        held(Pause(target), 1.0, _holding(runtime, tmp_path)),
    ):
        raise KeyboardInterrupt

    assert runtime.state(target).is_running


def test_a_fault_that_somebody_else_ended_says_so(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")

    with held(Pause(target), 1.0, _holding(runtime, tmp_path)) as hold:
        runtime.send(target, "unpause")

    assert hold.ended_early


def test_a_container_that_was_replaced_meanwhile_is_healed_under_its_new_id(
    tmp_path: Path,
) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")

    with held(Stop(target), 1.0, _holding(runtime, tmp_path)):
        del runtime.states[target]
        runtime.add("kafka")
        runtime.send(target, "stop")

    assert runtime.state(target).is_running


def test_after_an_interrupt_nothing_further_is_injected(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    holding = _holding(runtime, tmp_path)
    holding.interrupt.request("SIGTERM")

    with pytest.raises(Interrupted, match="SIGTERM"), held(Pause(target), 1.0, holding):
        pytest.fail("the body ran")

    assert [] == runtime.sent


def test_a_signal_while_the_fault_is_being_injected_heals_it_at_once(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    holding = _holding(runtime, tmp_path)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    holding.interrupt.install()

    def interrupt(_container: object, verb: str) -> bool:
        if verb == "pause":
            os.kill(os.getpid(), signal.SIGINT)
        return False

    runtime.broken = interrupt
    try:
        with pytest.raises(KeyboardInterrupt), held(Pause(target), 1.0, holding):
            pytest.fail("the body ran")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

    assert [("pause", "kafka"), ("unpause", "kafka")] == runtime.sent
    assert () == read_ledger(tmp_path / "state.jsonl").open


def test_who_is_told_to_end_does_not_wait_for_a_witness(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    holding = _holding(runtime, tmp_path)

    def ignore(_container: object, verb: str) -> bool:
        holding.interrupt.request("the stop condition is met")
        return verb == "pause"

    runtime.broken = ignore
    with pytest.raises(Interrupted), held(Pause(target), 1.0, holding):
        pytest.fail("the body ran")

    assert 1.0 > holding.clock.monotonic()
    assert () == read_ledger(tmp_path / "state.jsonl").open


class _ClockOf(FakeClock):
    """While somebody waits for long, something happens."""

    def __init__(self, happens: Callable[[FakeClock], None]) -> None:
        super().__init__()
        self.happens = happens

    def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
        if seconds > 20:
            self.happens(self)
        return super().wait(seconds, event)


def _healed_meanwhile(path: Path, runtime: FakeRuntime) -> Callable[[FakeClock], None]:
    def heal_all(clock: FakeClock) -> None:
        (one,) = heal_ledger(path, lambda _engine: runtime, FakeClock(clock.seconds))
        assert "healed" == one.outcome

    return heal_all


def _suspended(_path: Path, _runtime: FakeRuntime) -> Callable[[FakeClock], None]:
    def sleep(clock: FakeClock) -> None:
        clock.seconds += 1000.0

    return sleep


def _unlinked(path: Path, _runtime: FakeRuntime) -> Callable[[FakeClock], None]:
    return lambda _clock: path.unlink()


@pytest.mark.parametrize("happens", [_healed_meanwhile, _suspended, _unlinked])
def test_what_nobody_would_heal_any_more_is_not_injected(happens: Any, tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    holding = _holding(runtime, tmp_path)
    clock = _ClockOf(happens(tmp_path / "state.jsonl", runtime))
    holding = replace(holding, clock=clock)
    begin_at = clock.now() + timedelta(seconds=60)

    with (
        pytest.raises(FaultNotInjected, match="was not injected: somebody else"),
        held(Pause(target), 10.0, holding, begin_at),
    ):
        pytest.fail("the body ran")

    assert ("pause", "kafka") not in runtime.sent
    assert () == read_ledger(tmp_path / "state.jsonl").open


def test_a_signal_while_several_are_being_injected_heals_them_all(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    targets = [runtime.add("kafka", number=number) for number in (1, 2, 3)]
    holding = _holding(runtime, tmp_path)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    holding.interrupt.install()

    def interrupt(container: Container, verb: str) -> bool:
        if verb == "pause" and container.number == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return False

    runtime.broken = interrupt
    holds = [new_hold(Pause(target), holding) for target in targets]
    try:
        with pytest.raises(KeyboardInterrupt), held_together(holds, 1.0, holding):
            pytest.fail("the body ran")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

    assert 3 == runtime.sent.count(("pause", "kafka"))
    assert all(state.is_running for state in runtime.states.values())
    assert () == read_ledger(tmp_path / "state.jsonl").open


def test_a_heal_that_never_works_keeps_none_of_the_others_from_theirs(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    targets = [runtime.add("kafka", number=number) for number in (1, 2, 3)]
    runtime.broken = lambda one, verb: verb == "unpause" and one.number == 2
    holding = _holding(runtime, tmp_path)
    holds = [new_hold(Pause(target), holding) for target in targets]

    with pytest.raises(FaultNotHealed, match="kafka-2"), held_together(holds, 1.0, holding):
        pass

    assert ["running", "paused", "running"] == [runtime.state(one).status for one in targets]
    (still,) = read_ledger(tmp_path / "state.jsonl").open
    assert holds[1].fault_id == still.fault_id


def test_a_crash_without_restart_policy_is_started_by_heal_and_says_so(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka", policy="no")

    with held(Crash(target), 1.0, _holding(runtime, tmp_path)) as hold:
        assert not runtime.state(target).is_running

    assert runtime.state(target).is_running
    assert {"started_again_by": "heal"} == hold.witness["undone"]


def test_a_crash_that_the_restart_policy_answers_is_left_to_it(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")

    with held(Crash(target), 1.0, _holding(runtime, tmp_path)) as hold:
        pass

    assert ("start", "kafka") not in runtime.sent
    assert 1 == runtime.state(target).restart_count
    assert "unless-stopped" == hold.witness["healed"]["restart_policy"]
    assert "undone" not in hold.witness


@pytest.mark.parametrize("policy", ["unless-stopped", "on-failure"])
def test_a_crash_that_no_restart_policy_answers_any_more_is_started_by_heal(
    policy: str, tmp_path: Path
) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka", policy=policy)

    with held(Crash(target), 1.0, _holding(runtime, tmp_path)) as hold:
        runtime.send(target, "kill")  # as an engine that was restarted leaves it, or no try is left

    assert runtime.state(target).is_running
    assert {"started_again_by": "heal"} == hold.witness["undone"]


def test_a_crash_is_not_sent_to_a_process_that_took_the_old_number(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    fault = Crash(target).prepare(System(runtime))
    runtime.send(target, "restart")

    with pytest.raises(TargetNotReady, match="restarted by somebody else"):
        fault.inject(System(runtime), FakeClock().now())

    assert "helper" not in [verb for verb, _ in runtime.sent]


def test_every_kind_has_an_example() -> None:
    assert {*FAULTS, *INJECTIONS} == {*EXAMPLES, *FEED_EXAMPLES, *DATA_EXAMPLES}


def test_every_kind_has_the_name_of_the_action_that_asks_for_it() -> None:
    asked_for = {kind_of_action(name) for name in actions.__all__} - {None}

    assert {*FAULTS.values(), *INJECTIONS.values()} == asked_for


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_every_kind_survives_the_ledger(kind: str) -> None:
    runtime = FakeRuntime()
    runtime.add(PEER)
    fault: Fault = EXAMPLES[kind](runtime.add("kafka")).prepare(System(runtime))

    assert fault == fault_from_json(fault_to_json(fault))


def test_a_fault_that_was_gone_for_a_while_ended_early_though_it_is_back(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    clock = FlickeringClock(runtime, target)
    holding = replace(_holding(runtime, tmp_path), clock=clock)

    with held(Pause(target), 5.0, holding) as hold:
        clock.verbs = ["unpause", "pause"]
        watch([hold], 2.0, holding)

    assert hold.ended_early
    assert [] == clock.verbs


class FlickeringClock(FakeClock):
    """At each wait somebody else does the next of `verbs` to the container."""

    def __init__(self, runtime: FakeRuntime, target: Container) -> None:
        super().__init__()
        self.runtime, self.target = runtime, target
        self.verbs: list[Verb] = []

    def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
        if self.verbs:
            self.runtime.send(self.target, self.verbs.pop(0))
        return super().wait(seconds, event)


def test_who_goes_on_watching_after_a_heal_is_patient_with_an_engine_that_is_slow_once(
    tmp_path: Path,
) -> None:
    """It is healed: one answer that does not come while it is watched says nothing else."""
    runtime = _SlowOnce()
    holding = _holding(runtime, tmp_path)
    hold = new_hold(Pause(runtime.add("kafka")), holding)
    runtime.is_slow_after = 6

    heal(hold, holding, watch_seconds=1.0)

    assert runtime.was_slow
    assert hold.healed_at is not None


class _SlowOnce(FakeRuntime):
    """An engine that once gives no answer in time."""

    is_slow_after = 1_000
    was_slow = False

    def state(self, container: Container) -> ContainerState:
        self.is_slow_after -= 1
        if self.is_slow_after == 0:
            self.was_slow = True
            message = "no answer in time"
            raise EngineUnreachable(message)
        return super().state(container)
