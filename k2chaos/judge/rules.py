"""
The rules of the verdict: what each looks for in the evidence of one run, and what that means.

`RULES` is a table; the functions above it say, one text for each thing seen, why the run is no
pass. None says pass.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from k2chaos.evidence.declared import Part, declared
from k2chaos.evidence.finding import Finding
from k2chaos.evidence.reading import RunEvidence
from k2chaos.judge.promise import breaks_promise, told

Outcome = Literal["pass", "fail", "inconclusive"]

_FAULT_ACTIONS: Final = "k2chaos.actions"
_NO_FAULTS: Final = frozenset({"await_recovery"})


@dataclass(frozen=True, slots=True)
class Case:
    """What the rules look at: the evidence, and what the audit found in it."""

    evidence: RunEvidence
    findings: Sequence[Finding]

    @property
    def steady_states(self) -> Mapping[str, Any]:
        """Chaos Toolkit's account of the hypothesis before and after."""
        return self.evidence.journal.get("steady_states") or {}

    @property
    def fault_was_tried(self) -> bool:
        """Whether anything was injected at all."""
        return bool(self.evidence.ledger.entries)

    def unmet_probes(self, when: Literal["before", "after"]) -> tuple[Mapping[str, Any], ...]:
        """The probes of the hypothesis that failed or were out of tolerance."""
        probes = (self.steady_states.get(when) or {}).get("probes") or ()
        return tuple(probe for probe in probes if not probe.get("tolerance_met"))


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: what it looks for (one text for each thing seen) and what that means."""

    code: str
    outcome: Outcome
    means: str
    look: Callable[[Case], Iterator[str]]


def _broken(case: Case, *, before_fault: bool) -> Iterator[str]:
    promise = case.evidence.run.get("pipeline", {}).get("promise", {})
    for finding in case.findings:
        if breaks_promise(finding, promise) and finding.before_fault == before_fault:
            yield told(finding)


def _promise_broken(case: Case) -> Iterator[str]:
    if case.fault_was_tried:
        yield from _broken(case, before_fault=False)


def _budget_exceeded(case: Case) -> Iterator[str]:
    for probe in case.unmet_probes("after"):
        if probe.get("status") == "succeeded":
            name = probe["activity"]["name"]
            yield f"after the method, {name}: {_out_of_tolerance(case, probe, first=False)}"


def _stage_unavailable(case: Case) -> Iterator[str]:
    for event in case.evidence.events_named("stage-unavailable"):
        yield f"{event.get('stage')}, at the end: {event.get('reason')}"
    for probe in case.unmet_probes("after"):
        if probe.get("status") == "failed" and _is_unavailable(probe):
            yield f"after the method, {probe['activity']['name']}: {_failure(probe)}"


def _never_recovered(case: Case) -> Iterator[str]:
    for event in case.evidence.events_named("recovery"):
        if not event.get("recovered"):
            deadline = event.get("deadline_seconds")
            yield f"not recovered within {deadline} s: {event.get('missing')}"


def _damaged(case: Case) -> Iterator[str]:
    yield from case.evidence.damage


def _ended_for(code: str) -> Callable[[Case], Iterator[str]]:
    """Why the run was told to end, where it was for *code*."""
    return lambda case: (
        str(event.get("reason"))
        for event in case.evidence.events_named("interrupted")[:1]
        if event.get("code", "interrupted") == code
    )


def _interrupted(case: Case) -> Iterator[str]:
    events = case.evidence.events_named("interrupted")
    if events:
        yield from (f"interrupted by {one}" for one in _ended_for("interrupted")(case))
    elif case.evidence.journal.get("status") in {"interrupted", "aborted"}:
        yield f"Chaos Toolkit's status is {case.evidence.journal['status']}"


def _dry(case: Case) -> Iterator[str]:
    if case.evidence.run.get("dry"):
        yield "a dry run proves nothing"


def _baseline_unmet(case: Case) -> Iterator[str]:
    for event in case.evidence.events_named("baseline-unmet"):
        yield str(event.get("text"))
    for probe in case.unmet_probes("before"):
        name = probe["activity"]["name"]
        if probe.get("status") == "failed":
            yield f"before the method, {name}: {_failure(probe)}"
        else:
            yield f"before the method, {name}: {_out_of_tolerance(case, probe, first=True)}"
    yield from _broken(case, before_fault=True)
    if not case.fault_was_tried:
        yield from _broken(case, before_fault=False)


def _not_injected(case: Case) -> Iterator[str]:
    tried, wanted = len(case.evidence.ledger.entries), len(_declared_faults(case))
    if tried < wanted:
        yield f"{wanted - tried} of {wanted} declared faults were not injected"


def _nothing_proven(case: Case) -> Iterator[str]:
    if not case.fault_was_tried and not _declared_faults(case):
        yield "no fault was declared and none was injected: nothing was put to the test"


def _fault_outside_method(case: Case) -> Iterator[str]:
    for provider in _fault_providers(case, "rollbacks"):
        yield f"{provider.get('func')} stands in the rollbacks: nobody tests what it breaks there"


def _method_cut_short(case: Case) -> Iterator[str]:
    listed = (case.evidence.journal.get("experiment") or {}).get("method") or ()
    ran = case.evidence.journal.get("run") or ()
    if case.fault_was_tried and len(ran) < len(listed):
        yield f"{len(ran)} of {len(listed)} activities of the method are in the journal"


def _window_broken(case: Case) -> Iterator[str]:
    window = case.evidence.window
    if window is None:
        return
    for key, first in sorted(window.after.items()):
        if window.until.get(key, -1) < first:
            yield f"the ids of {key} went back (was the exchange reset?): its records are unknown"


def _unwitnessed(case: Case) -> Iterator[str]:
    for entry in case.evidence.ledger.entries:
        if not entry.was_witnessed:
            yield f"{entry.fault_id}: nobody saw it in effect"


def _ended_early(case: Case) -> Iterator[str]:
    for name in ("fault", "injection"):
        for event in case.evidence.events_named(name):
            if event.get("ended_early"):
                yield f"{event.get('fault_id')}: it was already gone when it was to be healed"


def _activity_failed(case: Case) -> Iterator[str]:
    for part in ("run", "rollbacks"):
        for entry in case.evidence.journal.get(part) or ():
            if entry.get("status") not in {"succeeded", "skipped"}:
                name = entry.get("activity", {}).get("name")
                yield f"{name}: {_failure(entry) or entry.get('status') or 'no status'}"


def _probe_blind(case: Case) -> Iterator[str]:
    for probe in case.unmet_probes("after"):
        if probe.get("status") != "succeeded" and not _is_unavailable(probe):
            yield f"after the method, {probe['activity']['name']}: {_failure(probe)}"


def _not_audited(case: Case) -> Iterator[str]:
    names = ("not-audited", "stage-unavailable")
    given_up = {one.get("stage") for name in names for one in case.evidence.events_named(name)}
    if case.fault_was_tried and not case.evidence.events_named("interrupted"):
        for stage in case.evidence.run.get("pipeline", {}).get("stages") or ("api",):
            if stage not in {"exchange", *case.evidence.records, *given_up}:
                yield f"{stage}: its records are not in the evidence"
    for event in case.evidence.events_named("not-audited"):
        yield f"{event.get('stage')}: {event.get('reason')}"


def _fault_open(case: Case) -> Iterator[str]:
    for entry in case.evidence.ledger.open:
        yield f"{entry.fault_id} is not confirmed healed: run `k2chaos heal {entry.fault_id}`"


def _too_few_records(case: Case) -> Iterator[str]:
    if not case.fault_was_tried:
        return
    window = case.evidence.window
    minimum = case.evidence.run.get("pipeline", {}).get("budgets", {}).get("minimum_records", 1)
    if window is None:
        yield "how many records flowed could not be determined"
    elif window.expected < minimum:
        yield f"{window.expected} records flowed, fewer than the minimum of {minimum}"


def _unsupported(case: Case) -> Iterator[str]:
    for event in case.evidence.events_named("unsupported"):
        yield str(event.get("text"))


def _no_hypothesis(case: Case) -> Iterator[str]:
    for when in ("before", "after"):
        if case.fault_was_tried and not (case.steady_states.get(when) or {}).get("probes"):
            yield f"the hypothesis was not tested {when} the method"


RULES: Final[tuple[Rule, ...]] = (
    Rule("promise-broken", "fail", "the data broke a promise of the pipeline", _promise_broken),
    Rule("budget-exceeded", "fail", "a probe saw a value out of tolerance", _budget_exceeded),
    Rule("stage-unavailable", "fail", "a stage refused, hung or erred", _stage_unavailable),
    Rule("never-recovered", "fail", "the recovery deadline passed", _never_recovered),
    Rule("evidence-damaged", "inconclusive", "evidence is missing or unreadable", _damaged),
    Rule(
        "stop-condition", "inconclusive", "a stop condition was met", _ended_for("stop-condition")
    ),
    Rule("stopped", "inconclusive", "somebody stopped the run", _ended_for("stopped")),
    Rule("interrupted", "inconclusive", "the run was told to end", _interrupted),
    Rule("dry-run", "inconclusive", "nothing was really done", _dry),
    Rule("baseline-unmet", "inconclusive", "all was not well before the fault", _baseline_unmet),
    Rule("fault-not-injected", "inconclusive", "a declared fault was never tried", _not_injected),
    Rule("nothing-proven", "inconclusive", "no fault was put to the test", _nothing_proven),
    Rule("fault-outside-method", "inconclusive", "a fault after the test", _fault_outside_method),
    Rule("method-cut-short", "inconclusive", "the journal lacks activities", _method_cut_short),
    Rule("window-broken", "inconclusive", "the exchange's ids went back", _window_broken),
    Rule("fault-unwitnessed", "inconclusive", "nobody saw the fault", _unwitnessed),
    Rule("fault-ended-early", "inconclusive", "somebody else ended the fault", _ended_early),
    Rule("activity-failed", "inconclusive", "an action or probe of the method", _activity_failed),
    Rule("probe-blind", "inconclusive", "a probe failed for a reason of ours", _probe_blind),
    Rule("hypothesis-untested", "inconclusive", "no hypothesis after the fault", _no_hypothesis),
    Rule("not-audited", "inconclusive", "the records of a stage were not read", _not_audited),
    Rule("fault-open", "inconclusive", "the pipeline may still be broken by us", _fault_open),
    Rule("too-few-records", "inconclusive", "too little flowed to judge by", _too_few_records),
    Rule("unsupported", "inconclusive", "this pipeline has no such role", _unsupported),
)


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


def _out_of_tolerance(case: Case, probe: Mapping[str, Any], *, first: bool) -> str:
    """What the probe returned, what was asked for, and what it saw where it left word of it."""
    activity = probe["activity"]
    func = (activity.get("provider") or {}).get("func")
    measured = [one for one in case.evidence.events_named("measured") if one.get("probe") == func]
    troubles = measured[0 if first else -1].get("troubles") if measured else None
    seen = f" ({', '.join(troubles)})" if troubles else ""
    return f"{probe.get('output')} is outside {activity.get('tolerance')}{seen}"


def _failure(run: Mapping[str, Any]) -> str:
    """The last line of what Chaos Toolkit kept of an activity's exception."""
    lines = [line.strip() for line in run.get("exception") or () if line.strip()]
    return lines[-1] if lines else ""


def _is_unavailable(run: Mapping[str, Any]) -> bool:
    return "StageUnavailable" in _failure(run)
