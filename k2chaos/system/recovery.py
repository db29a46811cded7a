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

PHASES = ("service", "caught_up", "flow", "fresh")
"""
Every service is healthy; every record emitted before the call is at the last stage; so is one that
was emitted since, or none was; the last stage is fresh.
"""

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
    Wait until every service is healthy, every record emitted so far is at the last stage, one that
    was emitted since is, too, and that stage is within the freshness budget, all at the same look.

    What a client had in its buffers comes at once when the broker is back, and is no sign that it
    will ever send another: hence the record that was emitted since.

    Args:
        budgets: By phase, how long it may have taken; kept for the judge.

    Returns:
        ``recovered`` (whether within the deadline), ``service_seconds``, ``caught_up_seconds``,
        ``flow_seconds``, ``fresh_seconds`` (each ``None`` when not reached),
        ``worst_freshness_seconds``, ``missing``.
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
        **_arrivals(run, emitted),
        "fresh": _stale(run, recovery),
    }
    every = (trouble for troubles in looks.values() for trouble in troubles)
    recovery.missing = list(dict.fromkeys(every))
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


def _arrivals(run: Run, emitted: Mapping[str, int]) -> dict[str, list[str]]:
    """What keeps the last stage from having caught up, and the flow from having resumed."""
    stage = run.pipeline.stages[-1]
    if not emitted:
        return _both("nobody can say what was emitted")
    try:
        newest = run.stages.newest(stage, emitted)
    except StageUnavailable as error:
        return _both(f"{stage}: {error}")
    shown = {key: sighting.sequence for key, sighting in newest.items()}
    behind = sorted(key for key, last in emitted.items() if shown.get(key, -1) < last)
    flows = any(last > emitted.get(key, 0) for key, last in shown.items())
    lacks = f"{stage} still lacks records of {', '.join(behind[:3])}"
    stands = f"{stage} shows no record that was emitted since the fault ended"
    return {
        "caught_up": [lacks] if behind else [],
        "flow": [stands] if not flows and _emitted(run) != emitted else [],
    }


def _both(trouble: str) -> dict[str, list[str]]:
    return {"caught_up": [trouble], "flow": [trouble]}


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
