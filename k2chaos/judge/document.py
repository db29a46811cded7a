"""
``verdict.json``, made from a run folder's evidence alone.

The stable interface of a run (schema 1). The same evidence gives the same bytes: nothing here
looks at a clock, a host or an order that could change.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from k2chaos.evidence.finding import Anomaly, Finding
from k2chaos.evidence.reading import RunEvidence
from k2chaos.judge.audit import count_records
from k2chaos.judge.findings import findings_of
from k2chaos.judge.recovery import recoveries
from k2chaos.judge.series import Samples
from k2chaos.judge.verdict import judge
from k2chaos.pipeline import STAGES

SCHEMA: Final = 1


def verdict_document(evidence: RunEvidence) -> dict[str, Any]:
    """Audit the records of *evidence*, judge it, and lay both out as ``verdict.json``."""
    findings = findings_of(evidence)
    judgement = judge(evidence, findings)
    pipeline = evidence.run.get("pipeline", {})
    return {
        "schema": SCHEMA,
        "experiment": evidence.run.get("experiment"),
        "claim": evidence.run.get("claim"),
        "pipeline": pipeline.get("name"),
        "verdict": judgement.outcome,
        "reasons": [{"code": reason.code, "text": reason.text} for reason in judgement.reasons],
        "not_checked": [stage for stage in STAGES if stage not in evidence.stages],
        "findings": [finding.to_json() for finding in findings],
        "faults": _held(evidence, "fault"),
        "injections": _held(evidence, "injection"),
        "freshness": _freshness(evidence, pipeline),
        "records": _records(evidence, findings),
        "started": evidence.run.get("started"),
        "ended": next((event["at"] for event in evidence.events_named("ended")), None),
    }


def _held(evidence: RunEvidence, name: str) -> list[dict[str, Any]]:
    """Every fault, or injection, with the recovery from it."""
    held = zip(evidence.events_named(name), recoveries(evidence, name), strict=True)
    return [{**_facts(one), "recovery": recovery} for one, recovery in held]


def _facts(event: Mapping[str, Any]) -> dict[str, Any]:
    wanted = (
        "fault_id",
        "kind",
        "role",
        "target",
        "requested_seconds",
        "achieved_seconds",
        "began_at",
        "ended_at",
        "injected_at",
        "healed_at",
        "inject_seconds",
        "heal_seconds",
        "ended_early",
        "witness",
    )
    return {name: event.get(name) for name in wanted}


def _freshness(evidence: RunEvidence, pipeline: Mapping[str, Any]) -> dict[str, Any]:
    """How stale the last stage was over the run: from samples, or else the worst ever measured."""
    budget = pipeline.get("budgets", {}).get("freshness_seconds")
    if evidence.samples is not None and evidence.stages:
        ages = Samples(evidence.samples).series(evidence.stages[-1], "freshness_seconds").known()
        if len(ages):
            levels = {"p50": 50, "p99": 99, "max": 100}
            values = {
                name: round(float(np.percentile(ages.values, level)), 3)
                for name, level in levels.items()
            }
            return {"budget_seconds": budget, **values}
    worst = _measured_freshness(evidence)
    return {"budget_seconds": budget, "p50": None, "p99": None, "max": worst}


def _measured_freshness(evidence: RunEvidence) -> float | None:
    """The worst freshness that a probe or `await_recovery` saw at the API."""
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
    return round(max(measured), 3) if measured else None


def _records(evidence: RunEvidence, findings: Sequence[Finding]) -> dict[str, Any]:
    """How many were expected, seen at each stage, lost, duplicated; ``None``: nobody knows."""
    window = evidence.window
    counts = (
        {stage: count_records(window, table) for stage, table in evidence.records.items()}
        if window
        else {}
    )
    return {
        "expected": window.expected if window else None,
        **counts,
        "lost": _total(evidence, findings, "lost") if counts else None,
        "duplicated": _total(evidence, findings, "duplicated") if counts else None,
    }


def _total(evidence: RunEvidence, findings: Sequence[Finding], anomaly: Anomaly) -> int | None:
    """As many as were found; none found where a stage was not read is not known to be none."""
    was_read = {*evidence.audited_stages} <= evidence.records.keys()
    found = sum(finding.count for finding in findings if finding.anomaly == anomaly)
    return found if found or was_read else None
