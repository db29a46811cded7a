"""
Waiting until the pipeline has recovered, and how long each phase took.

Looked at about five times a second; a stage that
refuses or hangs is simply not there yet. What is measured is kept as an event of the run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from k2chaos.errors import EngineUnreachable, StageUnavailable
from k2chaos.system.run import Run
from k2chaos.system.services import service_states

PHASES = ("service", "caught_up", "fresh")
"""Every service is healthy; every record emitted before is at the last stage; it is fresh."""

_TICK_SECONDS = 0.2


@dataclass(slots=True)
class Recovery:
    """
    What was reached, in seconds since the call; a phase not reached is not in it.

    Attributes:
        missing: What kept the pipeline from being recovered at the last look.
    """

    phases: dict[str, float] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    worst_freshness_seconds: float | None = None


def await_recovery(
    run: Run, deadline_seconds: float, budgets: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """
    Wait until every service is healthy, every record emitted so far is at the last stage, and
    that stage is within the freshness budget, all at the same look.

    Args:
        budgets: By phase, how long it may have taken; kept for the judge.

    Returns:
        ``recovered`` (whether within the deadline), ``service_seconds``, ``caught_up_seconds``,
        ``fresh_seconds`` (each ``None`` when not reached), ``worst_freshness_seconds``,
        ``missing``.
    """
    called_at = run.clock.now()
    started = run.clock.monotonic()
    recovery = Recovery()
    emitted = _emitted(run)
    while True:
        elapsed = run.clock.monotonic() - started
        emitted = emitted or _emitted(run)
        _look(run, emitted, recovery, elapsed)
        is_over = not recovery.missing or elapsed >= deadline_seconds
        if is_over or run.clock.wait(_TICK_SECONDS, run.interrupt.requested):
            break
    run.interrupt.refuse_when_requested()
    result: dict[str, Any] = {
        "recovered": not recovery.missing,
        "deadline_seconds": deadline_seconds,
        "worst_freshness_seconds": recovery.worst_freshness_seconds,
        "missing": ", ".join(recovery.missing),
        **{f"{phase}_seconds": recovery.phases.get(phase) for phase in PHASES},
    }
    run.folder.append_event(
        "recovery", called_at=called_at.isoformat(), budgets=dict(budgets or {}), **result
    )
    return result


def _emitted(run: Run) -> Mapping[str, int]:
    """What has to arrive; empty while nobody can say."""
    try:
        return run.stages.newest_emitted()
    except StageUnavailable:
        return {}


def _look(run: Run, emitted: Mapping[str, int], recovery: Recovery, elapsed: float) -> None:
    looks = {
        "service": _troubles(run),
        "caught_up": _undrained(run, emitted),
        "fresh": _stale(run, recovery),
    }
    recovery.missing = [trouble for troubles in looks.values() for trouble in troubles]
    for phase, troubles in looks.items():
        if troubles:
            recovery.phases.pop(phase, None)
        else:
            recovery.phases.setdefault(phase, round(elapsed, 3))


def _troubles(run: Run) -> list[str]:
    try:
        states = service_states(run.runtime, run.pipeline)
    except EngineUnreachable as error:
        return [str(error)]
    return [state.trouble for state in states if state.trouble]


def _undrained(run: Run, emitted: Mapping[str, int]) -> list[str]:
    stage = run.pipeline.stages[-1]
    if not emitted:
        return ["nobody can say what was emitted"]
    try:
        newest = run.stages.newest(stage, emitted)
    except StageUnavailable as error:
        return [f"{stage}: {error}"]
    behind = [
        key for key, last in emitted.items() if key not in newest or newest[key].sequence < last
    ]
    return [f"{stage} still lacks records of {', '.join(sorted(behind)[:3])}"] if behind else []


def _stale(run: Run, recovery: Recovery) -> list[str]:
    stage = run.pipeline.stages[-1]
    budget = run.pipeline.budgets.freshness_seconds
    try:
        freshness = run.stages.freshness_seconds(stage)
    except StageUnavailable as error:
        return [f"{stage}: {error}"]
    recovery.worst_freshness_seconds = max(
        round(freshness, 3), recovery.worst_freshness_seconds or 0.0
    )
    return [f"{stage} is {freshness:.1f} s old, budget {budget:g} s"] if freshness > budget else []
