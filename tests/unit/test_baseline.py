"""What stands when a run begins is asked patiently: a broker that elects a leader is no reason."""

import threading
from typing import Any, cast

import pytest

from k2chaos.errors import StageBlind, StageUnavailable
from k2chaos.system.stages import Stages
from k2chaos.system.windows import BASELINE_PATIENCE_SECONDS, take_baseline
from tests.fakes.clock import FakeClock


class _Moody:
    """Stages whose exchange answers after so many errors."""

    topic = None

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked = 0

    def newest_emitted(self) -> dict[str, int]:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return {"BTC": 7}


def _stages(*errors: Exception) -> tuple[Stages, _Moody]:
    moody = _Moody(*errors)
    return cast("Any", moody), moody


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
