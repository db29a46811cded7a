"""Actions that break nothing and wait."""

from typing import Any

from chaoslib.types import Configuration, Secrets

from k2chaos.errors import UsageError
from k2chaos.evidence.phases import budget_mistakes
from k2chaos.system.recovery import await_recovery as recover
from k2chaos.system.run import current_run


def await_recovery(
    deadline: float = 120.0,
    budgets: dict[str, float] = None,  # type: ignore[assignment]  # as Configuration, below
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Wait until every service is healthy, every record has arrived, and the data flows and is fresh.

    ``service``: every service runs and is healthy. ``caught_up``: every record emitted up to this
    call can be seen at the last stage. ``flow``: so can one that was emitted since, unless none
    was. ``fresh``: the last stage is within the freshness budget.
    The last action of a method, so that the hypothesis after it judges the pipeline, not the
    recovery.

    Args:
        deadline: Seconds after which the pipeline counts as not recovered. That is a result, not
            an error, and fails the run.
        budgets: Seconds that a phase of the recovery may take, by its name in ``verdict.json``, for
            example ``{"fresh_seconds": 60}``. They hold for the faults since the last call, and
            count from the heal (``detected_seconds``: from the injection). A missed one fails the
            run. The phases are
            ``detected_seconds``, ``service_seconds``, ``flow_seconds``, ``caught_up_seconds`` and
            ``fresh_seconds``.

    Returns:
        ``recovered``, and after how many seconds each phase was reached (``null``: not reached).

    Raises:
        UsageError: A budget has no phase's name, or is no number above 0.
    """
    mistakes = [*budget_mistakes(budgets or {})]
    if mistakes:
        message = f"budgets: {'; '.join(mistakes)}"
        raise UsageError(message)
    return recover(current_run(), deadline, budgets or {})
