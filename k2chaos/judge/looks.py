"""
What the rules of the verdict look for in Chaos Toolkit's account, the ledger and the run's events.

Each function says, one text for each thing seen, why the run is no pass; which of them there are
and what they mean stands in `k2chaos.judge.rules`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from k2chaos.evidence.declared import Part, declared
from k2chaos.judge.case import Case, When
from k2chaos.judge.disturbances import disturbances
from k2chaos.judge.observing import never_stayed
from k2chaos.judge.promise import breaks_promise, told
from k2chaos.judge.unread import unread

_FAULT_ACTIONS: Final = "k2chaos.actions"
_NO_FAULTS: Final = frozenset({"await_recovery"})


def _broken(case: Case, *, before_fault: bool) -> Iterator[str]:
    promise = case.evidence.run.get("pipeline", {}).get("promise", {})
    for finding in case.findings:
        if breaks_promise(finding, promise) and finding.before_fault == before_fault:
            yield told(finding)


def promise_broken(case: Case) -> Iterator[str]:
    """Findings that break the promise, where a fault was tried to blame them on."""
    if case.fault_was_tried:
        yield from _broken(case, before_fault=False)


def budget_exceeded(case: Case) -> Iterator[str]:
    """Probes of the hypothesis that saw a value out of tolerance once the method had begun."""
    for when, probe in _deviations(case):
        if probe.get("status") == "succeeded":
            name = probe["activity"]["name"]
            yield f"{when} the method, {name}: {_out_of_tolerance(case, probe, when)}"


def stage_unavailable(case: Case) -> Iterator[str]:
    """Stages that did not answer at the end, or while the hypothesis was to hold."""
    for event in case.evidence.events_named("stage-unavailable"):
        yield f"{event.get('stage')}, at the end: {event.get('reason')}"
    for when, probe in _deviations(case):
        if probe.get("status") == "failed" and _is_unavailable(probe):
            yield f"{when} the method, {probe['activity']['name']}: {_failure(probe)}"


def never_recovered(case: Case) -> Iterator[str]:
    """Recoveries that were awaited in vain, or that did not last."""
    for event in case.evidence.events_named("recovery"):
        if not event.get("recovered"):
            deadline = event.get("deadline_seconds")
            yield f"not recovered within {deadline} s: {event.get('missing')}"
    yield from never_stayed(case)


def damaged(case: Case) -> Iterator[str]:
    """What of the run folder could not be read."""
    yield from case.evidence.damage


def ended_for(code: str) -> Callable[[Case], Iterator[str]]:
    """Why the run was told to end, where it was for *code*."""
    return lambda case: (
        str(event.get("reason"))
        for event in case.evidence.events_named("interrupted")[:1]
        if event.get("code", "interrupted") == code
    )


def interrupted(case: Case) -> Iterator[str]:
    """Who interrupted the run, or that Chaos Toolkit says so."""
    events = case.evidence.events_named("interrupted")
    if events:
        yield from (f"interrupted by {one}" for one in ended_for("interrupted")(case))
    elif case.evidence.journal.get("status") in {"interrupted", "aborted"}:
        yield f"Chaos Toolkit's status is {case.evidence.journal['status']}"


def dry(case: Case) -> Iterator[str]:
    """A run that Chaos Toolkit was told not to do."""
    if case.evidence.run.get("dry"):
        yield "a dry run proves nothing"


def baseline_unmet(case: Case) -> Iterator[str]:
    """What was not well before the first fault."""
    for event in case.evidence.events_named("baseline-unmet"):
        yield str(event.get("text"))
    for probe in case.unmet_probes("before"):
        name = probe["activity"]["name"]
        if probe.get("status") == "failed":
            yield f"before the method, {name}: {_failure(probe)}"
        else:
            yield f"before the method, {name}: {_out_of_tolerance(case, probe, 'before')}"
    yield from _broken(case, before_fault=True)
    if not case.fault_was_tried:
        yield from _broken(case, before_fault=False)


def not_injected(case: Case) -> Iterator[str]:
    """How many declared faults were not tried."""
    tried, wanted = len(case.evidence.ledger.entries), len(_declared_faults(case))
    if tried < wanted:
        yield f"{wanted - tried} of {wanted} declared faults were not injected"


def nothing_proven(case: Case) -> Iterator[str]:
    """A run without any fault."""
    if not case.fault_was_tried and not _declared_faults(case):
        yield "no fault was declared and none was injected: nothing was put to the test"


def fault_outside_method(case: Case) -> Iterator[str]:
    """Faults among the rollbacks."""
    for provider in _fault_providers(case, "rollbacks"):
        yield f"{provider.get('func')} stands in the rollbacks: nobody tests what it breaks there"


def method_cut_short(case: Case) -> Iterator[str]:
    """A journal with fewer activities than the method, or than the rollbacks that were to run."""
    experiment = case.evidence.journal.get("experiment") or {}
    strategy = ((experiment.get("runtime") or {}).get("rollbacks") or {}).get("strategy")
    was_ended = bool([*interrupted(case)] or case.evidence.events_named("interrupted"))
    for part, name in (("method", "run"), ("rollbacks", "rollbacks")):
        if name == "rollbacks" and (strategy == "deviated" or was_ended):
            continue  # not all of them were to run
        listed, ran = experiment.get(part) or (), case.evidence.journal.get(name) or ()
        if case.fault_was_tried and len(ran) < len(listed):
            yield f"{len(ran)} of {len(listed)} activities of the {part} are in the journal"


def window_broken(case: Case) -> Iterator[str]:
    """Keys whose ids went back."""
    window = case.evidence.window
    if window is None:
        return
    for key, first in sorted(window.after.items()):
        if window.until.get(key, -1) < first:
            yield f"the ids of {key} went back (was the exchange reset?): its records are unknown"


def unwitnessed(case: Case) -> Iterator[str]:
    """Faults that were tried and that nobody saw."""
    for entry in case.evidence.ledger.entries:
        if not entry.was_witnessed:
            yield f"{entry.fault_id}: nobody saw it in effect"


def ended_early(case: Case) -> Iterator[str]:
    """Faults that were gone before they were healed."""
    for event in disturbances(case.evidence):
        if event.get("ended_early"):
            yield f"{event.get('fault_id')}: it was already gone when it was to be healed"


def activity_failed(case: Case) -> Iterator[str]:
    """Activities of method and rollbacks that did not succeed."""
    for part in ("run", "rollbacks"):
        for entry in case.evidence.journal.get(part) or ():
            if entry.get("status") not in {"succeeded", "skipped"}:
                name = entry.get("activity", {}).get("name")
                yield f"{name}: {_failure(entry) or entry.get('status') or 'no status'}"


def probe_blind(case: Case) -> Iterator[str]:
    """Probes of the hypothesis that failed for another reason than the pipeline's."""
    for when, probe in _deviations(case):
        if probe.get("status") != "succeeded" and not _is_unavailable(probe):
            yield f"{when} the method, {probe['activity']['name']}: {_failure(probe)}"


def not_audited(case: Case) -> Iterator[str]:
    """Stages whose records are not in the evidence."""
    if case.fault_was_tried and not case.evidence.events_named("interrupted"):
        yield from unread(case)
    for event in case.evidence.events_named("not-audited"):
        yield f"{event.get('stage')}: {event.get('reason')}"


def fault_open(case: Case) -> Iterator[str]:
    """Faults that are not confirmed healed."""
    for entry in case.evidence.ledger.open:
        yield f"{entry.fault_id} is not confirmed healed: run `k2chaos heal {entry.fault_id}`"


def too_few_records(case: Case) -> Iterator[str]:
    """A window with too few records, or none."""
    if not case.fault_was_tried:
        return
    window = case.evidence.window
    minimum = case.evidence.run.get("pipeline", {}).get("budgets", {}).get("minimum_records", 1)
    if window is None:
        yield "how many records flowed could not be determined"
    elif window.expected < minimum:
        yield f"{window.expected} records flowed, fewer than the minimum of {minimum}"


def unsupported(case: Case) -> Iterator[str]:
    """Roles and stages that were asked for and that the pipeline lacks."""
    for event in case.evidence.events_named("unsupported"):
        yield str(event.get("text"))


def no_hypothesis(case: Case) -> Iterator[str]:
    """A hypothesis that was not tested before, or after."""
    for when in ("before", "after"):
        state = case.steady_states.get(when) or {}
        tested, listed = len(state.get("probes") or ()), _probes_listed(case)
        if not case.fault_was_tried or case.unmet_probes(when):
            continue
        if not tested:
            yield f"the hypothesis was not tested {when} the method"
        elif tested < listed:
            yield f"{tested} of {listed} probes of the hypothesis were tested {when} the method"
        elif state.get("steady_state_met") is False:
            yield f"Chaos Toolkit calls it unmet {when} the method, and names no probe"


def _probes_listed(case: Case) -> int:
    hypothesis = (case.evidence.journal.get("experiment") or {}).get("steady-state-hypothesis")
    return len((hypothesis or {}).get("probes") or ())


def _declared_faults(case: Case) -> list[Mapping[str, Any]]:
    return _fault_providers(case, "method")


def _fault_providers(case: Case, part: Part) -> list[Mapping[str, Any]]:
    activities = declared(case.evidence.journal.get("experiment") or {}, part)
    providers = [entry.get("provider") or {} for entry in activities]
    return [
        provider
        for provider in providers
        if provider.get("module") == _FAULT_ACTIONS and provider.get("func") not in _NO_FAULTS
    ]


def _deviations(case: Case) -> Iterator[tuple[When, Mapping[str, Any]]]:
    """Unmet probes from the method on; of those tested again and again, the first of each."""
    told = set()
    for probe in case.unmet_probes("during"):
        sort = (probe["activity"]["name"], probe.get("status"))
        if sort not in told:
            yield "during", probe
        told.add(sort)
    yield from (("after", probe) for probe in case.unmet_probes("after"))


def _out_of_tolerance(case: Case, probe: Mapping[str, Any], when: When) -> str:
    """What the probe returned, what was asked for, and what it saw where it left word of it."""
    activity = probe["activity"]
    said = f"{probe.get('output')} is outside {activity.get('tolerance')}"
    func = (activity.get("provider") or {}).get("func")
    measured = [one for one in case.evidence.events_named("measured") if one.get("probe") == func]
    if when == "during" or not measured:
        return said
    troubles = measured[0 if when == "before" else -1].get("troubles")
    return f"{said} ({', '.join(troubles)})" if troubles else said


def _failure(run: Mapping[str, Any]) -> str:
    """The last line of what Chaos Toolkit kept of an activity's exception."""
    lines = [line.strip() for line in run.get("exception") or () if line.strip()]
    return lines[-1] if lines else ""


def _is_unavailable(run: Mapping[str, Any]) -> bool:
    return "StageUnavailable" in _failure(run)
