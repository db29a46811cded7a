"""One process inside a container is stopped, told by number and start time."""

from dataclasses import replace
from pathlib import Path

import pytest

from k2chaos.errors import FaultNotHealed, TargetNotReady, UsageError
from k2chaos.system.faults.freeze import Freeze
from k2chaos.system.faults.held import held
from tests.fakes.runs import fake_holding
from tests.fakes.runtime import FakeRuntime


def test_only_the_processes_of_that_name_are_stopped(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target, other = runtime.add("kafka"), runtime.add("sink")
    runtime.kernel.extra = ("sleep",)

    with held(Freeze(target, "sleep"), 1.0, fake_holding(runtime, tmp_path)) as hold:
        states = [(one.name, one.state) for one in runtime.processes(target)]
        others = {one.state for one in runtime.processes(other)}

    assert [("sh", "S"), ("sleep", "T"), ("sleep", "T")] == states
    assert {"S"} == others
    assert set() == runtime.kernel.stopped
    assert not hold.ended_early


@pytest.mark.parametrize("name", ["slee", "sleep ", "java"])
def test_a_name_that_nothing_has_is_refused_and_the_names_are_told(
    name: str, tmp_path: Path
) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")

    with (
        pytest.raises(TargetNotReady, match=r"but: sh, sleep$"),
        held(Freeze(target, name), 1.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran")

    assert [] == runtime.sent


@pytest.mark.parametrize("name", ["", "  "])
def test_no_name_is_not_every_name(name: str, tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")

    with (
        pytest.raises(UsageError, match="needs the name of a process"),
        held(Freeze(target, name), 1.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran")

    assert [] == runtime.sent


def test_what_is_stopped_already_is_not_frozen(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.kernel.stopped.add(runtime.processes(target)[1].pid)

    with (
        pytest.raises(TargetNotReady, match="stopped already"),
        held(Freeze(target, "sleep"), 1.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran")

    assert [] == runtime.sent


def test_a_number_that_another_process_has_by_now_gets_no_signal(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    pid = runtime.processes(target)[1].pid

    with (
        pytest.raises(FaultNotHealed),
        held(Freeze(target, "sleep"), 1.0, fake_holding(runtime, tmp_path)),
    ):
        runtime.kernel.ages[pid] = 5

    assert {pid} == runtime.kernel.stopped


@pytest.mark.parametrize("replaced", [False, True], ids=["restarted", "re-created"])
def test_a_freeze_ends_with_the_life_of_its_container(replaced: bool, tmp_path: Path) -> None:  # noqa: FBT001
    runtime = FakeRuntime()
    target = runtime.add("kafka")

    with held(Freeze(target, "sleep"), 1.0, fake_holding(runtime, tmp_path)) as hold:
        if replaced:
            del runtime.states[target]
            runtime.add("kafka")
        else:
            runtime.send(target, "restart")

    assert hold.ended_early
    assert not [script for verb, script in runtime.sent if verb == "helper" and "CONT" in script]


def test_what_is_stopped_in_the_next_life_under_an_old_number_is_not_ours(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    pid = runtime.state(target).pid

    with held(Freeze(target, "sh"), 1.0, fake_holding(runtime, tmp_path)) as hold:
        runtime.send(target, "restart")
        runtime.states[target] = replace(runtime.state(target), pid=pid)

    assert hold.ended_early
    assert {pid} == runtime.kernel.stopped


def test_a_freeze_that_somebody_else_ended_says_so(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")

    with held(Freeze(target, "sh"), 1.0, fake_holding(runtime, tmp_path)) as hold:
        runtime.kernel.stopped.clear()

    assert hold.ended_early


def test_a_frozen_process_that_was_killed_counts_as_gone(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    target = runtime.add("kafka")
    runtime.kernel.extra = ("worker",)

    with held(Freeze(target, "worker"), 1.0, fake_holding(runtime, tmp_path)) as hold:
        runtime.kernel.extra = ()

    assert hold.ended_early
    assert ["gone"] == hold.witness["healed"]["states"]
