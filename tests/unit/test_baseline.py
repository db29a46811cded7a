"""What stands when a run begins is asked patiently: a broker that elects a leader is no reason."""

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import pytest

from k2chaos.errors import StageBlind, StageUnavailable
from k2chaos.system.stages import Stages
from k2chaos.system.windows import BASELINE_PATIENCE_SECONDS, take_baseline, window_between
from tests.fakes.clock import FakeClock


class _Moody:
    """Stages whose exchange answers after so many errors."""

    topic = None
    last_ids: Mapping[str, int] = MappingProxyType({"BTC": 7})

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked = 0

    def ledger(self, _at: Any) -> "_Moody":
        return self

    def newest_emitted(self) -> dict[str, int]:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return {"BTC": 7}


def _stages(*errors: Exception) -> tuple[Stages, _Moody]:
    moody = _Moody(*errors)
    return cast("Any", moody), moody


class _Flowing:
    """A topic into which a value, and at once its letter, comes between any two questions."""

    def __init__(self) -> None:
        self.written = 0

    def end_offsets(self) -> dict[int, int]:
        self.written += 1
        return {0: self.written - 1}

    letter_offsets = end_offsets

    def offsets_at(self, milliseconds: int) -> dict[int, int]:
        return {0: milliseconds}

    letter_offsets_at = offsets_at


def _down() -> StageUnavailable:
    return StageUnavailable("no leader", "refused")


def test_a_stage_that_answers_badly_for_a_moment_is_asked_again() -> None:
    stages, moody = _stages(*(_down() for _ in range(4)))
    clock = FakeClock()

    baseline = take_baseline(stages, clock)

    assert ({"BTC": 7}, 5) == (baseline.last_ids, moody.asked)
    assert 0.0 < clock.seconds < BASELINE_PATIENCE_SECONDS
    assert clock.now() == baseline.started, "of the answer, not of the first attempt"


def test_one_that_goes_on_so_is_an_error() -> None:
    stages, _ = _stages(*(_down() for _ in range(1000)))
    clock = FakeClock()

    with pytest.raises(StageUnavailable, match="no leader"):
        take_baseline(stages, clock)

    assert BASELINE_PATIENCE_SECONDS <= clock.seconds < BASELINE_PATIENCE_SECONDS + 2.0


def test_being_blind_is_an_error_at_once() -> None:
    stages, moody = _stages(StageBlind("no key", "credentials"))

    with pytest.raises(StageBlind):
        take_baseline(stages, FakeClock())

    assert 1 == moody.asked


def test_who_is_interrupted_asks_no_more() -> None:
    stages, moody = _stages(*(_down() for _ in range(1000)))
    interrupt = threading.Event()
    interrupt.set()

    with pytest.raises(StageUnavailable):
        take_baseline(stages, FakeClock(), interrupt)

    assert 1 == moody.asked


def test_the_letter_of_every_value_of_the_run_is_of_the_run_too() -> None:
    stages, moody = _stages()
    moody.topic = _Flowing()  # type: ignore[assignment]

    baseline = take_baseline(stages, FakeClock())

    assert baseline.topic_offsets is not None
    assert baseline.letter_offsets[0] <= baseline.topic_offsets[0]


def test_the_letter_of_every_value_of_an_audit_is_read_though_clocks_differ() -> None:
    """A value of the last seconds before the window is read; its letter came seconds later."""
    stages, moody = _stages()
    moody.topic = _Flowing()  # type: ignore[assignment]
    moody.exchange = moody  # type: ignore[attr-defined]
    since = FakeClock().now()

    baseline, _ = window_between(stages, since, None)

    assert baseline.topic_offsets is not None
    assert baseline.letter_offsets[0] < baseline.topic_offsets[0] < since.timestamp() * 1000
