"""Everything that the evidence of one run shows to be wrong with its data."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from k2chaos.evidence.finding import Finding
from k2chaos.evidence.reading import RunEvidence
from k2chaos.judge.attempts import samples_in_order
from k2chaos.judge.audit import Beside, audit
from k2chaos.judge.disturbances import effect_of
from k2chaos.judge.series import Samples
from k2chaos.judge.story import steady_until
from k2chaos.judge.values import value_findings
from k2chaos.judge.watched import PATIENCE_SECONDS, Watched, watched_findings
from k2chaos.pipeline import STAGES, Budgets

_STOPS_A_SERVICE: Final = frozenset(
    {
        "pause",
        "stop",
        "kill",
        "crash",
        "restart",
        "freeze-process",
        "squeeze-cpu",
        "squeeze-memory",
        "squeeze-processes",
    }
)
"""Kinds of faults under which a service cannot be expected to speak of its health."""


def findings_of(evidence: RunEvidence) -> tuple[Finding, ...]:
    """
    Find what the records, the values beside them and the observer's samples show.

    Without a window (nobody could say what was emitted) nothing is said of records.
    """
    return tuple(_findings(evidence))


def _findings(evidence: RunEvidence) -> Iterator[Finding]:
    samples = samples_in_order(evidence)
    if evidence.window is not None and evidence.records:
        beside = Beside(
            at_deadline=evidence.at_deadline,
            letters=evidence.letters,
            malformed=evidence.malformed,
            committed=evidence.committed,
            settled=_settled(evidence, samples),
        )
        yield from audit(evidence.window, evidence.records, beside)
        yield from value_findings(beside)
    if samples is not None:
        yield from watched_findings(_watched(evidence, samples))


def _settled(evidence: RunEvidence, samples: Samples | None) -> dict[str, dict[str, int]]:
    """By stage and key, the newest number that it showed before the first fault."""
    first = steady_until(evidence)
    if samples is None or np.isinf(first):
        return {}
    found: dict[str, dict[str, int]] = {}
    for stage in STAGES[1:]:
        by_key = samples.by_key(stage, "newest_id")
        stood = {key: series.last_before(first) for key, series in by_key.items()}
        found[stage] = {key: int(last) for key, last in stood.items() if last is not None}
    return found


def _watched(evidence: RunEvidence, samples: Samples) -> Watched:
    pipeline = evidence.run.get("pipeline", {})
    budgets = {**_DEFAULTS, **pipeline.get("budgets", {})}
    struck = steady_until(evidence)
    return Watched(
        samples=samples,
        window=evidence.window,
        table=evidence.records.get("table"),
        freshness_seconds=budgets["freshness_seconds"],
        serving_seconds=budgets["serving_seconds"],
        containers=_containers(pipeline.get("services", {}), samples),
        disturbed=_disturbed(evidence),
        struck=-np.inf if np.isinf(struck) else struck,
    )


_DEFAULTS: Final[Mapping[str, float]] = {
    name: getattr(Budgets(), name) for name in ("freshness_seconds", "serving_seconds")
}


def _containers(services: Mapping[str, Any], samples: Samples) -> dict[str, list[str]]:
    """By role, the containers of which there are samples."""
    seen = samples.by_key("engine", "healthy")
    return {
        role: [one for one in seen if one.rpartition("-")[0] in _names(names)]
        for role, names in services.items()
    }


def _names(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names


def _disturbed(evidence: RunEvidence) -> dict[str, list[tuple[float, float]]]:
    """By role, when a fault kept its services from speaking, and some time for coming back."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for event in evidence.events_named("fault"):
        begin, end = effect_of(event)
        if event.get("kind") in _STOPS_A_SERVICE and begin is not None and end is not None:
            span = (begin, end + PATIENCE_SECONDS)
            spans.setdefault(str(event.get("role")), []).append(span)
    return spans
