"""The rules about what the observer saw: how the pipeline came back, and whether anybody looked."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from k2chaos.evidence.phases import PHASES
from k2chaos.evidence.reading import DISTURBANCES
from k2chaos.judge.attempts import blind_spans, clock_steps
from k2chaos.judge.case import Case
from k2chaos.judge.disturbances import disturbances
from k2chaos.judge.series import Samples, seconds_of
from k2chaos.judge.story import story_of

LONGEST_BLIND_SECONDS: Final = 1.0
"""For how long a stage may go unasked; twice the period where it is looked at less often."""

_DETECTED: Final = "detected_seconds"
_NEVER: Final = ("service_seconds", "caught_up_seconds", "fresh_seconds")
_RATES: Final[Mapping[str, str]] = {
    "exchange": "exchange_hz",
    "topic": "exchange_hz",
    "table": "table_hz",
    "api": "api_hz",
}


def never_stayed(case: Case) -> Iterator[str]:
    """What `await_recovery` saw recovered, and what the samples say was not, to their end."""
    for event, recovery in _recovered(case):
        awaited = _awaited(case, event)
        story = story_of(case.evidence, event)
        if not (awaited and awaited.get("recovered") and story and story.is_last):
            continue
        phases = recovery["from_injection"]
        lacking = [name for name in _NEVER if name in phases and phases[name] is None]
        if lacking:
            yield f"{event.get('fault_id')}: {', '.join(lacking)}: not to the end of the run"


def recovery_budget(case: Case) -> Iterator[str]:
    """Phases that took longer than their budget in the experiment."""
    for event, name, budget, seconds in _budgeted(case):
        if seconds is None:
            yield f"{event.get('fault_id')}: {name}: never, budget {budget:g} s"
        elif seconds > budget:
            yield f"{event.get('fault_id')}: {name}: {seconds:g} s, budget {budget:g} s"


def recovery_unmeasured(case: Case) -> Iterator[str]:
    """Phases that have a budget and that nobody measured."""
    measured = {(id(event), name) for event, name, _, _ in _budgeted(case)}
    for event in disturbances(case.evidence):
        for name in _budgets(case, event):
            if (id(event), name) not in measured:
                yield f"{event.get('fault_id')}: {name}: it has a budget, and nobody measured it"
    awaited = [id(_awaited(case, event)) for event in disturbances(case.evidence)]
    for one in case.evidence.events_named("recovery"):
        if id(one) not in awaited:
            for name in one.get("budgets") or ():
                yield f"{name}: it has a budget, and no fault ended before await_recovery did"


def observer_blind(case: Case) -> Iterator[str]:
    """When the observer failed, or did not look."""
    for event in case.evidence.events_named("observer-failed"):
        yield f"the observer failed: {event.get('reason')}"
    if case.evidence.samples_damage:
        yield case.evidence.samples_damage
    if case.evidence.samples is not None:
        yield from _unasked(case, Samples(case.evidence.samples))
    elif case.evidence.run.get("pipeline", {}).get("sampling") is not None:
        yield "there are no samples of this run"


def _unasked(case: Case, samples: Samples) -> Iterator[str]:
    """The stages that nobody looked at for too long while the method ran."""
    period = _observed_period(case)
    if period is None:
        if case.fault_was_tried:
            yield "the journal does not say when the method ran: nobody knows who looked then"
        return
    sampling = case.evidence.run.get("pipeline", {}).get("sampling") or {}
    for stage in case.evidence.stages:
        longest = _longest_blind(stage, sampling)
        spans = blind_spans(samples, stage, *period, longest)
        if spans:
            begin, end = max(spans, key=lambda one: one[1] - one[0])
            often = f", and {len(spans) - 1} times more" if len(spans) > 1 else ""
            yield f"{stage}: nobody looked for {end - begin:.1f} s from {_clock(begin)} on{often}"


def clock_stepped(case: Case) -> Iterator[str]:
    """Where the clock that all times were taken by went back."""
    if case.evidence.samples is None:
        return
    samples = Samples(case.evidence.samples)
    for stage, moment, step in clock_steps(samples, case.evidence.stages):
        yield f"{stage}: the clock went back by {step:.1f} s at {_clock(moment)}"


def _recovered(case: Case) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Every fault and injection with its recovery, where anything is known of it."""
    for name in DISTURBANCES:
        pairs = zip(case.evidence.events_named(name), case.recoveries[name], strict=True)
        yield from ((event, recovery) for event, recovery in pairs if recovery is not None)


def _awaited(case: Case, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `await_recovery`, called next after a fault, left; empty where it was not called."""
    return next(
        (one for one in case.evidence.events_named("recovery") if one["at"] >= event["at"]), {}
    )


def _budgets(case: Case, event: Mapping[str, Any]) -> Mapping[str, float]:
    budgets: Mapping[str, float] = _awaited(case, event).get("budgets") or {}
    return budgets


def _budgeted(case: Case) -> Iterator[tuple[Mapping[str, Any], str, float, float | None]]:
    """Every phase that was measured and has a budget: detection from the injection on."""
    for event, recovery in _recovered(case):
        budgets = _budgets(case, event)
        for name in PHASES:
            since = "from_injection" if name == _DETECTED else "from_heal"
            if name in budgets and name in recovery[since]:
                yield event, name, budgets[name], recovery[since][name]


def _observed_period(case: Case) -> tuple[float, float] | None:
    """From the first activity to the end of the method; ``None`` where there was no method."""
    before = (case.steady_states.get("before") or {}).get("probes") or ()
    method = case.evidence.journal.get("run") or ()
    begins = [_journal_time(one.get("start")) for one in (*before, *method)]
    ends = [_journal_time(one.get("end")) for one in method]
    known = [one for one in begins if one is not None], [one for one in ends if one is not None]
    return (min(known[0]), max(known[1])) if all(known) else None


def _journal_time(text: str | None) -> float | None:
    """A time of Chaos Toolkit's journal, which is UTC and may not say so."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return seconds_of(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _longest_blind(stage: str, sampling: Mapping[str, float]) -> float:
    rate = sampling.get(_RATES[stage])
    return max(LONGEST_BLIND_SECONDS, 2.0 / rate) if rate else LONGEST_BLIND_SECONDS


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}"
