"""What the observer saw of the recovery decides, and so does that it did not look."""

from collections.abc import Mapping
from typing import Any

import pytest

from k2chaos.evidence.ledger import LedgerEntry
from k2chaos.evidence.samples import Sample
from k2chaos.judge.attempts import OUTSTANDING, answers, blind_spans
from k2chaos.judge.case import Case
from k2chaos.judge.observing import (
    clock_stepped,
    never_stayed,
    observer_blind,
    recovery_budget,
    recovery_unmeasured,
)
from k2chaos.judge.recovery import recoveries
from k2chaos.judge.series import Samples
from tests.fakes.observed import START, Watched, at, table_of


def case_of(watched: Watched, **changes: Any) -> Case:
    evidence = watched.evidence(**changes)
    told = {name: recoveries(evidence, name) for name in ("fault", "injection")}
    return Case(evidence, (), told)


def journal(*spans: tuple[float, float], zone: str = "") -> dict[str, Any]:
    """Chaos Toolkit's account: the first span is a probe before the method, the others are it."""
    runs = [
        {
            "start": f"{at(a):%Y-%m-%dT%H:%M:%S.%f}{zone}",
            "end": f"{at(b):%Y-%m-%dT%H:%M:%S.%f}{zone}",
        }
        for a, b in spans
    ]
    return {"steady_states": {"before": {"probes": runs[:1]}}, "run": runs[1:]}


def awaited(run: Watched, when: float, budgets: Mapping[str, float] | None = None) -> None:
    """`await_recovery` ended at *when*, and saw the pipeline recovered."""
    run.happens("recovery", when, recovered=True, called_at=at(when).isoformat(), budgets=budgets)


def stale(run: Watched, *spans: tuple[float, float]) -> None:
    """The API is over its budget in *spans*."""
    run.sees(
        "api", "freshness_seconds", lambda now: 9.0 if any(a <= now < b for a, b in spans) else 0.5
    )


@pytest.fixture
def run() -> Watched:
    """A fault of ten seconds that leaves the API stale for five more."""
    run = Watched()
    run.breaks(20.0, 30.0)
    stale(run, (20.0, 35.0))
    return run


def test_a_phase_within_its_budget_says_nothing(run: Watched) -> None:
    awaited(run, 40.0, {"fresh_seconds": 5.0, "detected_seconds": 0.1})

    case = case_of(run)

    assert [] == [*recovery_budget(case), *recovery_unmeasured(case)]


def test_a_phase_over_its_budget_is_told_with_both(run: Watched) -> None:
    awaited(run, 40.0, {"fresh_seconds": 4.9})

    assert ["pause-1: fresh_seconds: 5 s, budget 4.9 s"] == [*recovery_budget(case_of(run))]


def test_detection_counts_from_the_injection(run: Watched) -> None:
    stale(run, (23.0, 35.0))
    awaited(run, 40.0, {"detected_seconds": 2.5})

    assert ["pause-1: detected_seconds: 3 s, budget 2.5 s"] == [*recovery_budget(case_of(run))]


def test_a_phase_that_was_never_reached_misses_any_budget(run: Watched) -> None:
    stale(run, (20.0, 99.0))
    awaited(run, 40.0, {"fresh_seconds": 1000.0})

    assert ["pause-1: fresh_seconds: never, budget 1000 s"] == [*recovery_budget(case_of(run))]


def test_a_budget_for_what_nobody_measured_is_told(run: Watched) -> None:
    awaited(run, 40.0, {"service_seconds": 5.0, "fresh_seconds": 5.0})
    del run.quantities["engine", "impaired_services", None]
    run.happens("recovery", 41.0)

    case = case_of(run)

    assert [] == [*recovery_budget(case)]
    (text,) = recovery_unmeasured(case)
    assert "pause-1: service_seconds: it has a budget, and nobody measured it" == text


@pytest.mark.parametrize("called", [15.0, 25.0])
def test_a_budget_for_no_fault_that_had_ended_is_told(called: float, run: Watched) -> None:
    """The call came before the fault; or during it, for it was held in the background."""
    run.events[0]["at"] = at(30.0).isoformat()
    awaited(run, called, {"fresh_seconds": 5.0})
    run.events.reverse()

    case = case_of(run)

    assert [] == [*recovery_budget(case)]
    (text,) = recovery_unmeasured(case)
    assert "fresh_seconds: it has a budget, and no fault ended before await_recovery did" == text


def test_a_budget_holds_for_the_faults_before_its_call_only(run: Watched) -> None:
    run.events.clear()
    run.breaks(10.0, 12.0)
    awaited(run, 15.0, None)
    run.breaks(20.0, 30.0, event="injection")
    awaited(run, 40.0, {"fresh_seconds": 4.0})

    assert 1 == len([*recovery_budget(case_of(run))])


def test_what_recovered_and_did_not_stay_so_never_recovered(run: Watched) -> None:
    stale(run, (20.0, 35.0), (50.0, 99.0))
    awaited(run, 40.0)

    assert ["pause-1: fresh_seconds: not to the end of the run"] == [*never_stayed(case_of(run))]


def test_a_service_that_is_down_again_to_the_end_never_recovered(run: Watched) -> None:
    stale(run, (20.0, 35.0))
    run.sees("engine", "impaired_services", lambda now: float(20.0 <= now < 30.0 or now >= 45.0))
    awaited(run, 40.0)

    assert ["pause-1: service_seconds: not to the end of the run"] == [*never_stayed(case_of(run))]


def test_what_stayed_recovered_says_nothing(run: Watched) -> None:
    stale(run, (20.0, 35.0), (50.0, 52.0))
    awaited(run, 40.0)

    assert [] == [*never_stayed(case_of(run))]


def test_what_the_next_fault_cut_off_is_not_never(run: Watched) -> None:
    stale(run, (20.0, 49.0))
    awaited(run, 31.0)
    run.breaks(45.0, 46.0)

    assert [] == [*never_stayed(case_of(run))]


@pytest.mark.parametrize("recovery", [None, {"recovered": False}])
def test_what_was_not_awaited_or_is_told_already_is_not_told_again(
    recovery: Mapping[str, Any] | None, run: Watched
) -> None:
    stale(run, (20.0, 99.0))
    if recovery is not None:
        run.happens("recovery", 40.0, **recovery)

    assert [] == [*never_stayed(case_of(run))]


def test_without_samples_nothing_is_told_of_staying(run: Watched) -> None:
    run.happens("recovery", 40.0, recovered=True, called_at=at(30).isoformat(), fresh_seconds=None)

    case = case_of(run, samples=None)

    assert [] == [*never_stayed(case), *clock_stepped(case)]


@pytest.mark.parametrize("zone", ["", "+00:00"])
def test_an_observer_that_looked_all_the_time_was_not_blind(zone: str, run: Watched) -> None:
    assert [] == [*observer_blind(case_of(run, journal=journal((1, 2), (3, 55), zone=zone)))]


def test_a_stage_that_nobody_looked_at_for_over_a_second_is_told(run: Watched) -> None:
    def asked(now: float) -> bool:
        return not (20.1 < now < 22.3 or 30.1 < now < 31.9 or 40.1 < now < 41.1)

    run.quantities.pop(("api", "attempt_seconds", None))
    times = [moment / 5 for moment in range(300) if asked(moment / 5)]
    run.more = [Sample(at(now), "api", "attempt_seconds", 0.01) for now in times]

    (text,) = observer_blind(case_of(run, journal=journal((1, 2), (3, 55))))

    assert "api: nobody looked for 2.4 s from 00:00:20 on, and 2 times more" == text


def test_before_the_first_activity_and_after_the_method_nobody_need_look(run: Watched) -> None:
    run.seconds = 30.0
    run.quantities.pop(("api", "attempt_seconds", None))
    run.more = [Sample(at(9.5 + n / 2), "api", "attempt_seconds", 0.01) for n in range(20)]

    assert [] == [*observer_blind(case_of(run, journal=journal((10, 11), (12, 18))))]
    assert 1 == len([*observer_blind(case_of(run, journal=journal((5, 11), (12, 18))))])
    assert 1 == len([*observer_blind(case_of(run, journal=journal((10, 11), (12, 28))))])
    assert [] == [*observer_blind(case_of(run, journal=journal((5, 11))))], "no method, no claim"


def test_where_the_journal_has_no_times_nobody_knows_who_looked_during_the_method(
    run: Watched,
) -> None:
    run.entries = [LedgerEntry("pause-1", "run", "lab", {}, at(90), [{"event": "tried"}])]
    timeless = {"run": [{"activity": {"name": "pause"}, "status": "succeeded"}]}

    (text,) = observer_blind(case_of(run, journal=timeless))

    assert "the journal does not say when the method ran" in text


def test_refused_attempts_and_slow_answers_are_attempts(run: Watched) -> None:
    run.sees("api", "attempt_seconds", lambda now: None if now > 10 else 0.01)
    assert [] == [*observer_blind(case_of(run, journal=journal((1, 2), (3, 55))))]

    run.quantities.pop(("api", "attempt_seconds", None))
    run.more = [Sample(at(2 * n), "api", "attempt_seconds", 1.2) for n in range(40)]
    assert [] == [*observer_blind(case_of(run, journal=journal((1, 2), (3, 55))))]


def test_who_asks_to_look_less_often_is_not_told_of_it(run: Watched) -> None:
    run.quantities.pop(("api", "attempt_seconds", None))
    run.more = [Sample(at(2 * n), "api", "attempt_seconds", 0.01) for n in range(40)]
    pipeline = run.evidence().run["pipeline"]

    def told(**rates: float) -> list[str]:
        changed = {"pipeline": {**pipeline, "sampling": rates}}
        return [*observer_blind(case_of(run, run=changed, journal=journal((1, 2), (3, 55))))]

    assert [] == told(api_hz=0.5)
    assert 1 == len(told(api_hz=5.0))


def test_a_failed_observer_damaged_samples_and_missing_ones_are_told(run: Watched) -> None:
    run.happens("observer-failed", 20.0, reason="its process ended with -9")
    assert ["the observer failed: its process ended with -9"] == [*observer_blind(case_of(run))]

    run.events.clear()
    damage = "samples.arrows: truncated"
    assert [damage] == [*observer_blind(case_of(run, samples_damage=damage))]

    observed = {"pipeline": {"sampling": {"api_hz": 5}}}
    told = [*observer_blind(case_of(run, samples=None, run=observed))]
    assert ["there are no samples of this run"] == told
    assert [] == [*observer_blind(case_of(run, samples=None))], "nobody observed it"


def test_a_clock_that_goes_back_is_told_once_a_stage(run: Watched) -> None:
    run.quantities.pop(("api", "attempt_seconds", None))
    moments = [40.0, 40.2, 37.0, 37.2, 36.9, 37.1, 36.5]
    run.more = [Sample(at(one), "api", "attempt_seconds", 0.01) for one in moments]

    assert ["api: the clock went back by 3.2 s at 00:00:40"] == [*clock_stepped(case_of(run))]


def outstanding(*moments: float) -> list[Sample]:
    return [Sample(at(one), "api", "attempt_seconds", None, None, OUTSTANDING) for one in moments]


def answered(moment: float, seconds: float | None) -> Sample:
    note = "refused" if seconds is None else None
    return Sample(at(moment), "api", "attempt_seconds", seconds, None, note)


@pytest.mark.parametrize(
    "waiting, end, expected",
    [
        ((0.2, 0.4), answered(0.6, 0.55), [(0.6, True)]),
        ((0.2, 0.4, 1.2), answered(1.4, 1.35), [(1.2, False), (1.4, True)]),
        ((0.2, 0.4), answered(0.6, None), [(0.2, False), (0.4, False), (0.6, False)]),
        ((0.2, 0.4, 1.4), None, [(1.4, False)]),
        ((0.2, 0.4), None, []),
    ],
)
def test_a_look_that_is_outstanding_is_worth_what_ends_it(
    waiting: tuple[float, ...], end: Sample | None, expected: list[tuple[float, bool]]
) -> None:
    rows = [*outstanding(*waiting), *([end] if end else [])]

    found = answers(Samples(table_of(rows)), "api")

    told = zip(found.at - START.timestamp(), found.values >= 0, strict=True)
    assert expected == [(round(float(moment), 3), bool(answer)) for moment, answer in told]


def test_a_stage_without_any_attempt_was_never_looked_at() -> None:
    samples = Samples(table_of([]))

    assert [(3.0, 9.0)] == blind_spans(samples, "api", 3.0, 9.0, 1.0)
