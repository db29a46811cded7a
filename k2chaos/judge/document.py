"""
``verdict.json``, made from a run folder's evidence alone.

The stable interface of a run (schema 1). The same evidence gives the same bytes: nothing here
looks at a clock, a host or an order that could change.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from k2chaos.evidence.finding import Finding
from k2chaos.evidence.reading import RunEvidence
from k2chaos.judge.audit import count_records
from k2chaos.judge.findings import findings_of
from k2chaos.judge.verdict import judge
from k2chaos.pipeline import STAGES

SCHEMA: Final = 1
_PHASES: Final = ("service_seconds", "caught_up_seconds", "fresh_seconds")


def verdict_document(evidence: RunEvidence) -> dict[str, Any]:
    """Audit the records of *evidence*, judge it, and lay both out as ``verdict.json``."""
    findings = findings_of(evidence)
    judgement = judge(evidence, findings)
    pipeline = evidence.run.get("pipeline", {})
    stages = pipeline.get("stages", [])
    return {
        "schema": SCHEMA,
        "experiment": evidence.run.get("experiment"),
        "claim": evidence.run.get("claim"),
        "pipeline": pipeline.get("name"),
        "verdict": judgement.outcome,
        "reasons": [{"code": reason.code, "text": reason.text} for reason in judgement.reasons],
        "not_checked": [stage for stage in STAGES if stage not in stages],
        "findings": [finding.to_json() for finding in findings],
        "faults": _held(evidence, "fault"),
        "injections": _held(evidence, "injection"),
        "freshness": _freshness(evidence, pipeline.get("budgets", {})),
        "records": _records(evidence, findings),
        "started": evidence.run.get("started"),
        "ended": next((event["at"] for event in evidence.events_named("ended")), None),
    }


def _held(evidence: RunEvidence, name: str) -> list[dict[str, Any]]:
    """Every fault, or injection, with the recovery that was awaited after it."""
    return [
        {**_facts(one), "recovery": _recovery(one, evidence)} for one in evidence.events_named(name)
    ]


def _recovery(fault: Mapping[str, Any], evidence: RunEvidence) -> dict[str, Any] | None:
    """
    When each phase was reached, from the injection and from the heal; ``None`` in a phase means
    never, no entry that nobody measured it. ``None`` for all where no recovery was awaited.
    """
    healed, injected = (_moment(fault.get(name)) for name in ("healed_at", "injected_at"))
    awaited = next(
        (one for one in evidence.events_named("recovery") if one["at"] >= fault["at"]), None
    )
    called = _moment(awaited.get("called_at")) if awaited else None
    if awaited is None or called is None or healed is None or injected is None:
        return None
    phases = {name: awaited.get(name) for name in _PHASES}
    return {
        name: {
            phase: None if seconds is None else round((called - since).total_seconds() + seconds, 3)
            for phase, seconds in phases.items()
        }
        for name, since in (("from_injection", injected), ("from_heal", healed))
    }


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _facts(event: Mapping[str, Any]) -> dict[str, Any]:
    wanted = (
        "fault_id",
        "kind",
        "role",
        "target",
        "requested_seconds",
        "achieved_seconds",
        "injected_at",
        "healed_at",
        "inject_seconds",
        "heal_seconds",
        "ended_early",
        "witness",
    )
    return {name: event.get(name) for name in wanted}


def _freshness(evidence: RunEvidence, budgets: Mapping[str, Any]) -> dict[str, Any]:
    """The worst freshness at the last stage that anyone measured in this run."""
    measured = [
        event["worst_freshness_seconds"]
        for event in evidence.events_named("recovery")
        if event.get("worst_freshness_seconds") is not None
    ]
    measured += [
        event["value"]
        for event in evidence.events_named("measured")
        if event.get("probe") == "freshness_seconds" and event.get("stage") == "api"
    ]
    return {
        "budget_seconds": budgets.get("freshness_seconds"),
        "max": round(max(measured), 3) if measured else None,
    }


def _records(evidence: RunEvidence, findings: Sequence[Finding]) -> dict[str, Any]:
    """How many were expected, seen at each stage, lost, duplicated; ``None``: nobody looked."""
    window = evidence.window
    counts = (
        {stage: count_records(window, table) for stage, table in evidence.records.items()}
        if window
        else {}
    )
    return {
        "expected": window.expected if window else None,
        **counts,
        "lost": _total(findings, "lost") if counts else None,
        "duplicated": _total(findings, "duplicated") if counts else None,
    }


def _total(findings: Sequence[Finding], anomaly: str) -> int:
    return sum(finding.count for finding in findings if finding.anomaly == anomaly)
