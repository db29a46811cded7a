"""Actions that break nothing and wait."""

from typing import Any

from chaoslib.types import Configuration, Secrets

from k2chaos.system.recovery import await_recovery as recover
from k2chaos.system.run import current_run


def await_recovery(
    deadline: float = 120.0, configuration: Configuration = None, secrets: Secrets = None
) -> dict[str, Any]:
    """
    Wait until every service is healthy, every record has arrived, and the data is fresh.

    ``service``: every service runs and is healthy. ``caught_up``: every record emitted up to this
    call can be seen at the last stage. ``fresh``: the last stage is within the freshness budget.
    The last action of a method, so that the hypothesis after it judges the pipeline, not the
    recovery.

    Args:
        deadline: Seconds after which the pipeline counts as not recovered. That is a result, not
            an error, and fails the run.

    Returns:
        ``recovered``, and after how many seconds each phase was reached (``null``: not reached).
    """
    return recover(current_run(), deadline)
