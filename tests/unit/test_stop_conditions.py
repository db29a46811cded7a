"""On what sight a run ends itself, and that looking never holds anything up."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from k2chaos.clock import SystemClock
from k2chaos.errors import Interrupted, StageUnavailable
from k2chaos.system.faults.process import Pause
from k2chaos.system.holding import Wish, hold_for
from k2chaos.system.stop_conditions import Condition, StopConditions, stop_conditions
from tests.fakes.clock import FakeClock
from tests.fakes.runs import fake_run
from tests.fakes.runtime import FakeRuntime


def condition(read: Callable[[], float], clock: FakeClock, *, grows: bool = False) -> Condition:
    made = Condition("freshness_seconds", 10.0, read, clock, grows=grows)
    made.begin()
    return made


@pytest.mark.parametrize("value, is_breached", [(9.9, False), (10.0, False), (10.1, True)])
def test_only_what_is_above_the_bound_breaches(value: float, *, is_breached: bool) -> None:
    assert is_breached == bool(condition(lambda: value, FakeClock()).look())


def test_freshness_that_nobody_can_see_goes_on_growing() -> None:
    clock = FakeClock()

    def refused() -> float:
        message = "the API refused"
        raise StageUnavailable(message)

    watched = condition(refused, clock, grows=True)
    assert "" == watched.look()
    clock.wait(10.5)

    assert "freshness_seconds is 10.5, above 10 (not seen: the API refused)" == watched.look()


def test_a_disk_that_nobody_can_see_is_no_breach() -> None:
    clock = FakeClock()

    def unseen() -> float:
        raise OSError

    watched = condition(unseen, clock)
    clock.wait(1000)

    assert "" == watched.look()


def test_a_read_that_hangs_is_not_asked_twice_and_breaches_in_time() -> None:
    clock, asked, let_go = FakeClock(), [0], threading.Event()

    def hang() -> float:
        asked[0] += 1
        let_go.wait()
        return 0.0

    watched = condition(hang, clock, grows=True)
    assert "" == watched.look()
    clock.wait(11)
    try:
        assert watched.look()
        assert [1] == asked
    finally:
        let_go.set()


def test_a_read_that_hangs_does_not_keep_the_other_from_being_looked_at() -> None:
    clock, let_go, ended = FakeClock(), threading.Event(), [""]

    def hang() -> float:
        let_go.wait()
        return 0.0

    full = Condition("disk_used_ratio", 0.9, lambda: 0.95, clock)
    over = threading.Event()

    def end(reason: str) -> None:
        ended[0] = reason

    try:
        StopConditions((condition(hang, clock), full), end, clock).watch(over)
    finally:
        let_go.set()

    assert "stop_when.disk_used_ratio is 0.95, above 0.9" == ended[0]


def test_what_was_seen_before_the_watch_began_does_not_count() -> None:
    clock = FakeClock()
    seen = [5.0]
    watched = condition(lambda: seen[0], clock, grows=True)
    watched.look()
    clock.wait(1000)
    watched.begin()

    assert "" == watched.look()


def test_the_bounds_are_those_of_the_pipeline_file(tmp_path: Path) -> None:
    run = fake_run(tmp_path, stop_when={"disk_used_ratio": 0.4})
    assert isinstance(run.runtime, FakeRuntime)
    made = stop_conditions(run.pipeline, run.stages, run.runtime, run.interrupt, run.clock)

    bounds = {one.name: one.limit for one in made.conditions}
    assert {"disk_used_ratio": 0.4, "freshness_seconds": 150} == bounds
    made.conditions[0].begin()
    assert "disk_used_ratio is 0.5, above 0.4" == made.conditions[0].look()


def test_a_breach_ends_a_hold_and_heals(tmp_path: Path) -> None:
    """With the real clock: the thread looks while the hold waits."""
    run = fake_run(tmp_path)
    clock, looks = SystemClock(), [0]

    def fill_up() -> float:
        looks[0] += 1
        return 1.0 if looks[0] > 2 else 0.0

    filling = Condition("disk_used_ratio", 0.9, fill_up, clock)
    watching = StopConditions(
        (filling,), lambda reason: run.interrupt.end(reason, "stop-condition"), clock
    )
    run = replace(run, stop_conditions=watching, clock=clock)
    started = clock.monotonic()
    with pytest.raises(Interrupted, match=r"stop_when\.disk_used_ratio is 1, above 0\.9"):
        hold_for(run, Pause, Wish("broker", 60.0))

    assert clock.monotonic() - started < 2.0
    assert isinstance(run.runtime, FakeRuntime)
    assert [("pause", "kafka"), ("unpause", "kafka")] == run.runtime.sent
    assert "stop-condition" == run.interrupt.code


def test_nothing_is_looked_at_once_nothing_is_held() -> None:
    clock = SystemClock()
    looks = [0]

    def count() -> float:
        looks[0] += 1
        return 0.0

    watching = StopConditions(
        (Condition("disk_used_ratio", 0.9, count, clock),), lambda _reason: None, clock
    )
    with watching.watched(), watching.watched():
        before = {one for one in threading.enumerate() if one.name.startswith("Thread-")}
        assert before
    for thread in before:
        thread.join(2.0)
    after = looks[0]
    clock.wait(0.6)

    assert after == looks[0]
