"""Each phase of a recovery, and what happens where it cannot be told."""

from typing import Any

import pytest

from k2chaos.evidence.ledger import LedgerEntry
from k2chaos.evidence.samples import SAMPLES
from k2chaos.judge.document import verdict_document
from k2chaos.judge.recovery import recoveries
from tests.fakes.observed import Watched, at


def recovery(run: Watched, **changes: Any) -> dict[str, Any]:
    (found,) = recoveries(run.evidence(**changes), "fault")
    assert found is not None
    return found


def stopped(run: Watched, begin: float, end: float) -> None:
    """The API shows nothing new from *begin* to *end*, then all at once."""

    def shown(now: float) -> float:
        return 100 * ((begin if begin <= now < end else now) + 0.5)

    def age(now: float) -> float:
        return now - begin + 0.5 if begin <= now < end else 0.5

    run.sees("api", "newest_id", shown, "A")
    run.sees("api", "freshness_seconds", age)


def test_a_fault_that_nobody_noticed_was_never_detected_and_lost_nothing() -> None:
    run = Watched()
    run.breaks(20.0, 30.0)

    found = recovery(run)

    assert None is found["from_injection"]["detected_seconds"]
    lost = {name: value for name, value in found["from_injection"].items() if value != 0.0}
    assert {"detected_seconds", "caught_up_seconds"} == set(lost)
    assert 10.6 == lost["caught_up_seconds"], (
        "what was emitted up to the heal needs its half second"
    )
    assert -10.0 == found["from_heal"]["service_seconds"]
    assert (0.5, 0.0) == (found["worst_freshness_seconds"], found["over_budget_area"])


@pytest.mark.parametrize("seen_until", [10.0, 25.0])
def test_services_that_nobody_saw_after_the_heal_are_not_called_well(seen_until: float) -> None:
    run = Watched()
    run.breaks(20.0, 30.0)
    run.sees("engine", "impaired_services", lambda now: 0.0 if now < seen_until else None)

    assert "service_seconds" not in recovery(run)["from_heal"]


def test_every_phase_of_a_standstill_is_told_from_injection_and_from_heal() -> None:
    run = Watched()
    run.breaks(20.0, 30.0)
    stopped(run, 20.0, 33.0)
    run.sees("engine", "impaired_services", lambda now: float(20 <= now < 31))

    found = recovery(run)

    assert {
        "detected_seconds": 1.2,
        "service_seconds": 11.0,
        "flow_seconds": 13.0,
        "caught_up_seconds": 13.0,
        "fresh_seconds": 13.0,
    } == found["from_injection"]
    assert {
        "detected_seconds": -8.8,
        "service_seconds": 1.0,
        "flow_seconds": 3.0,
        "caught_up_seconds": 3.0,
        "fresh_seconds": 3.0,
    } == found["from_heal"]
    assert 13.3 == found["worst_freshness_seconds"]
    beyond = 13.3 - 5.0
    assert pytest.approx(beyond**2 / 2 + beyond * 0.2 / 2, abs=0.01) == found["over_budget_area"]


def test_what_does_not_come_back_is_never() -> None:
    run = Watched()
    run.breaks(20.0, 30.0)
    stopped(run, 20.0, 1e9)
    run.sees("engine", "impaired_services", lambda now: float(now >= 20))

    phases = recovery(run)["from_injection"]

    assert [1.2, None, None, None, None] == [*phases.values()]


def test_fresh_is_what_stays_fresh() -> None:
    run = Watched()
    run.breaks(20.0, 25.0)
    run.sees("api", "freshness_seconds", lambda now: 9.0 if 21 <= now < 26 or now > 50 else 0.5)

    assert None is recovery(run)["from_injection"]["fresh_seconds"]

    run.sees(
        "api", "freshness_seconds", lambda now: 9.0 if 21 <= now < 26 or 40 < now < 42 else 0.5
    )

    assert 22.0 == recovery(run)["from_injection"]["fresh_seconds"]


def test_the_story_of_a_fault_ends_with_the_next_one() -> None:
    run = Watched()
    run.breaks(20.0, 25.0)
    run.breaks(22.0, 24.0)
    run.breaks(40.0, 45.0, event="injection")
    stopped(run, 20.0, 50.0)

    first, second = recoveries(run.evidence(), "fault")
    (third,) = recoveries(run.evidence(), "injection")

    assert first is not None
    assert second is not None
    assert third is not None
    assert None is first["from_injection"]["fresh_seconds"]
    assert None is second["from_injection"]["flow_seconds"]
    assert 10.0 == third["from_injection"]["fresh_seconds"]
    assert 20.5 == first["worst_freshness_seconds"] == second["worst_freshness_seconds"]


def test_flow_is_resumed_when_it_first_comes_back_with_the_fault_gone() -> None:
    run = Watched()
    run.breaks(20.0, 30.0)

    def shown(now: float) -> float:
        still = next((b for b, e in ((18, 22), (24, 34), (50, 54)) if b <= now < e), now)
        return 100.0 * still

    run.sees("api", "newest_id", shown, "A")
    assert 14.0 == recovery(run)["from_injection"]["flow_seconds"]

    run.events.clear()
    run.breaks(20.0, 46.0)
    run.seconds = 48.0
    assert 14.0 == recovery(run)["from_injection"]["flow_seconds"], "it came back under the fault"


def test_a_stage_that_does_not_answer_is_noticed_and_is_no_service() -> None:
    run = Watched()
    run.breaks(20.0, 30.0)
    run.sees("api", "attempt_seconds", lambda now: None if 20.1 < now < 30.5 else 0.004)

    phases = recovery(run)["from_injection"]

    assert (0.2, 10.6) == (phases["detected_seconds"], phases["service_seconds"])


def test_a_stage_that_failed_before_the_fault_does_not_show_it_by_failing_again() -> None:
    run = Watched()
    run.breaks(20.0, 30.0)
    run.sees("api", "attempt_seconds", lambda now: None if 5 < now < 6 or 21 < now < 22 else 0.004)

    assert None is recovery(run)["from_injection"]["detected_seconds"]


def test_ids_of_the_exchange_that_stand_still_are_noticed() -> None:
    run = Watched()
    run.breaks(20.0, 30.0)
    run.sees("exchange", "newest_id", lambda now: 100 * (now if now < 20 else 20.0), "A")

    assert pytest.approx(1.2, abs=0.21) == recovery(run)["from_injection"]["detected_seconds"]


def test_an_idle_market_is_no_standstill_of_the_stages_behind_it() -> None:
    run = Watched()
    run.breaks(20.0, 22.0)

    def emitted(now: float) -> float:
        return 100 * (now + 1 if now < 30 else max(31.0, now - 9))

    run.sees("exchange", "newest_id", emitted, "A")
    run.sees("api", "newest_id", lambda now: emitted(now - 0.5), "A")
    run.sees("api", "freshness_seconds", lambda now: 0.0 if 30.5 <= now < 40.1 else 0.5)

    assert 0.0 == recovery(run)["from_injection"]["flow_seconds"]


def test_a_record_that_never_arrives_means_never_caught_up() -> None:
    run = Watched()
    run.breaks(20.0, 30.0)
    run.sees("exchange", "newest_id", lambda _now: 7.0, "B")

    assert None is recovery(run)["from_injection"]["caught_up_seconds"]

    run.sees("api", "newest_id", lambda _now: 7.0, "B")

    assert 10.6 == recovery(run)["from_injection"]["caught_up_seconds"]


@pytest.mark.parametrize("seconds, is_told", [(30.5, False), (31.4, False), (31.8, True)])
def test_what_had_no_time_to_arrive_is_not_told_never_to_have(
    seconds: float, *, is_told: bool
) -> None:
    """A stage half a second behind is due a second and a half after the first look at 30.0."""
    run = Watched(seconds=seconds)
    run.breaks(20.0, 30.0)
    run.sees("api", "newest_id", lambda now: 100 * (min(now, 30.0) - 0.5 + 1), "A")

    phases = recovery(run)["from_injection"]

    assert is_told == ("caught_up_seconds" in phases)
    assert None is phases.get("caught_up_seconds")


def test_ids_may_be_written_only_when_they_change() -> None:
    run = Watched()
    run.breaks(20.0, 30.0)
    run.sees("api", "newest_id", lambda now: None if now >= 10 else 1000.0, "A")
    run.sees("exchange", "newest_id", lambda now: 1000.0 if now > 40 else None, "A")
    assert 0.0 == recovery(run)["from_injection"]["caught_up_seconds"]

    run.sees("exchange", "newest_id", lambda now: 1001.0 if now > 40 else None, "A")
    assert None is recovery(run)["from_injection"]["caught_up_seconds"]

    run.sees("api", "newest_id", lambda now: 1001.0 if now > 50 else None, "A")
    assert 30.2 == recovery(run)["from_injection"]["caught_up_seconds"]


def test_without_an_exchange_the_first_stage_tells_what_is_to_arrive() -> None:
    run = Watched(stages=("topic", "table"))
    run.breaks(20.0, 30.0)

    found = recovery(run)["from_injection"]

    assert [None, 0.0, 0.0, 10.4, 0.0] == [*found.values()]


def test_what_nobody_measured_has_no_entry() -> None:
    run = Watched(budgets={})
    run.breaks(3.0, None)
    run.seconds, run.step = 20.0, 1.0
    del run.quantities["engine", "impaired_services", None]

    found = recovery(run)

    assert {} == {**found["from_injection"], **found["from_heal"]}
    assert (0.5, None) == (found["worst_freshness_seconds"], found["over_budget_area"])


def test_service_is_told_by_single_containers_too() -> None:
    run = Watched()
    run.breaks(20.0, 30.0)
    del run.quantities["engine", "impaired_services", None]
    run.sees("engine", "running", lambda now: float(not 20 <= now < 30), "kafka-1")
    run.sees("engine", "healthy", lambda now: float(not 20 <= now < 34), "kafka-1")

    assert 14.0 == recovery(run)["from_injection"]["service_seconds"]


@pytest.mark.parametrize(
    "changes", [{"samples": None}, {"samples": SAMPLES.empty_table()}, {"run": {}}]
)
def test_without_samples_or_stages_nothing_is_made_up(changes: dict[str, Any]) -> None:
    run = Watched()
    run.breaks(20.0, 30.0)

    assert [None] == recoveries(run.evidence(**changes), "fault")


def test_what_the_samples_do_not_tell_is_what_await_recovery_saw() -> None:
    run = Watched()
    run.breaks(20.0, 30.0)
    run.quantities.clear()
    run.sees("engine", "impaired_services", lambda now: float(20 <= now < 33))
    called = at(31).isoformat()
    run.happens(
        "recovery", 40.0, called_at=called, service_seconds=9, caught_up_seconds=4.5,
        fresh_seconds=None,
    )  # fmt: skip

    found = recovery(run)

    assert {"service_seconds": 13.0, "caught_up_seconds": 15.5, "fresh_seconds": None} == found[
        "from_injection"
    ]
    assert None is found["worst_freshness_seconds"]


def test_a_fault_after_the_last_sample_and_one_without_times_are_not_told() -> None:
    run = Watched()
    run.breaks(61.0, 70.0)
    run.happens("fault", 5.0)

    assert [None, None] == recoveries(run.evidence(), "fault")


def test_the_steady_time_ends_where_a_fault_was_tried_that_failed() -> None:
    run = Watched()
    tried = LedgerEntry(
        "kill-1", "run", "lab", {}, at(0), [{"event": "tried", "at": at(0.5).isoformat()}]
    )
    run.entries.append(tried)
    run.breaks(20.0, 30.0)

    assert "detected_seconds" not in recovery(run)["from_injection"]


def test_freshness_over_the_run_is_told_by_its_quantiles() -> None:
    run = Watched()
    run.sees("api", "freshness_seconds", lambda now: now)
    freshness = verdict_document(run.evidence())["freshness"]

    assert {"budget_seconds": 5.0, "p50": 29.9, "p99": 59.202, "max": 59.8} == freshness

    del run.quantities["api", "freshness_seconds", None]
    freshness = verdict_document(run.evidence())["freshness"]

    assert {"budget_seconds": 5.0, "p50": None, "p99": None, "max": None} == freshness


def test_what_the_samples_end_too_early_to_show_is_what_await_recovery_saw_later() -> None:
    run = Watched()
    run.breaks(20.0, 30.0)
    run.sees("engine", "impaired_services", lambda now: float(now >= 20) if now < 33 else None)
    run.happens("recovery", 59.0, called_at=at(31).isoformat(), service_seconds=1.9)

    assert 12.9 == recovery(run)["from_injection"]["service_seconds"]

    run.sees("engine", "impaired_services", lambda now: float(now >= 20) if now < 33.1 else None)

    assert None is recovery(run)["from_injection"]["service_seconds"], "it was bad again"


def test_what_await_recovery_saw_after_the_next_fault_is_not_of_this_one() -> None:
    run = Watched()
    run.breaks(20.0, 30.0)
    run.breaks(40.0, 41.0, event="injection")
    run.sees("engine", "impaired_services", lambda now: float(20 <= now < 50))
    run.happens("recovery", 59.0, called_at=at(45).isoformat(), service_seconds=6.0)

    assert None is recovery(run)["from_injection"]["service_seconds"]


def test_the_engine_tells_exactly_when_a_service_came_back() -> None:
    run = Watched()
    run.breaks(20.0, 30.0)
    run.sees("engine", "impaired_services", lambda now: float(20 <= now < 33))
    for when, action in (
        (20.0, "die"), (30.0, "start"), (32.85, "health_status: healthy"), (32.9, "exec_start"),
        (33.5, "start"),
    ):  # fmt: skip
        run.happens("engine", when, container="kafka-1", action=action)

    assert 12.85 == recovery(run)["from_injection"]["service_seconds"]

    run.sees("api", "attempt_seconds", lambda now: None if 21 < now < 33.3 else 0.01)

    assert 13.4 == recovery(run)["from_injection"]["service_seconds"], "and its stage has to answer"

    run.sees("engine", "impaired_services", lambda now: float(now >= 20))

    assert None is recovery(run)["from_injection"]["service_seconds"]
