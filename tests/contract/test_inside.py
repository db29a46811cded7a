"""Faults inside a container, on a real engine: what was asked for, and nothing beside it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from k2chaos.clock import SystemClock
from k2chaos.system.engine import DockerRuntime
from k2chaos.system.faults import System
from k2chaos.system.faults.freeze import Freeze
from k2chaos.system.faults.held import held
from k2chaos.system.runtime import Container
from tests.contract.containers import docker, start_container, throwaway_project
from tests.contract.holding import holding_on
from tests.contract.waiting import wait_until

Starter = Callable[..., Container]


@pytest.fixture
def start(engine: DockerRuntime) -> Iterator[Starter]:
    """Starts containers of one project, which are removed at the end."""
    project = throwaway_project()
    names: list[str] = []

    def one(script: str = "", limits: tuple[str, ...] = ()) -> Container:
        service = f"service-{len(names)}"
        names.append(start_container(engine.engine, project, service, limits=limits, script=script))
        return Container(engine.engine, project, service)

    try:
        yield one
    finally:
        docker(engine.engine, "rm", "--force", *names)


def _states(engine: DockerRuntime, target: Container) -> dict[str, str]:
    return {one.name: one.state for one in engine.processes(target)}


def _has(engine: DockerRuntime, target: Container, names: set[str]) -> bool:
    return names <= set(_states(engine, target))


SLEEPER = "sleep 1000 & tail -f /dev/null & wait"


def test_one_process_stands_still_and_the_others_go_on(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    target, other = start(SLEEPER, ("--user", "1000")), start(SLEEPER)
    for one in (target, other):
        wait_until(partial(_has, engine, one, {"sh", "sleep", "tail"}), "all of it runs")

    with held(Freeze(target, "sleep"), 10.0, holding_on(System(engine), tmp_path)) as hold:
        during, others = _states(engine, target), _states(engine, other)
    after = _states(engine, target)

    assert "T" == during["sleep"]
    assert "T" not in {during["sh"], during["tail"], *others.values()}
    assert "T" not in after.values()
    assert not hold.ended_early


def test_a_process_that_has_ended_is_not_listed(engine: DockerRuntime, start: Starter) -> None:
    target = start("sleep 0 & exec tail -f /dev/null")  # which never collects what has ended

    wait_until(lambda: {"tail"} == set(_states(engine, target)), "only tail is listed")


def test_a_number_that_another_process_has_by_now_gets_no_signal(
    engine: DockerRuntime, start: Starter
) -> None:
    target = start(SLEEPER)
    wait_until(lambda: "tail" in _states(engine, target), "tail runs")
    system = System(engine)
    fault = Freeze(target, "tail").prepare(system)
    older = replace(fault, frozen=tuple((pid, started - 1) for pid, started in fault.frozen))

    older.inject(system, SystemClock().now())
    spared = _states(engine, target)["tail"]
    fault.inject(system, SystemClock().now())
    older.heal(system)

    assert "S" == spared
    assert "T" == _states(engine, target)["tail"]


def test_the_main_process_can_be_frozen_and_its_restart_ends_it(
    engine: DockerRuntime, start: Starter, tmp_path: Path
) -> None:
    target = start(SLEEPER)
    wait_until(lambda: "tail" in _states(engine, target), "tail runs")

    with held(Freeze(target, "sh"), 20.0, holding_on(System(engine), tmp_path)) as hold:
        during = _states(engine, target)
        engine.send(target, "restart", grace_seconds=0)
        wait_until(lambda: engine.state(target).is_running, "it runs again")

    assert ("T", "S") == (during["sh"], during["tail"])
    assert hold.ended_early
    assert "T" not in _states(engine, target).values()
