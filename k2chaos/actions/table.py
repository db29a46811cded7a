"""Actions that disturb the table."""

from typing import Any

from chaoslib.types import Configuration, Secrets

from k2chaos.system.amounts import refuse_bad_amount
from k2chaos.system.disturbing import hold_at_stage, longest_of
from k2chaos.system.faults.table import ConflictCommits
from k2chaos.system.holding import Wish
from k2chaos.system.run import current_run


def conflict_commits(
    duration: float = 15.0,
    per_second: float = 5.0,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let another writer commit empty snapshots to the table for a while.

    A commit of the sink that was prepared on an older snapshot is refused. This is maintenance, or
    a second writer, at work on a busy table. The empty snapshots stay in the history; they hold
    no data.

    Args:
        duration: Seconds to hold the fault.
        per_second: How many commits a second are tried, 1 to 50; the catalog may manage fewer.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        When the fault was confirmed active, when confirmed gone, the achieved length in seconds,
        and how many snapshots were ours and how many of others.

    Raises:
        UsageError: *per_second* is out of bounds.
        Unsupported: The pipeline has no table.
        FaultNotInjected: No snapshot of ours came into the history.
        FaultNotHealed: They still come. The ledger keeps the fault open.
    """
    refuse_bad_amount("per_second", per_second)
    wish = Wish("sink", duration, start_after)
    fields = {"per_second": float(per_second), "longest_seconds": longest_of(wish)}
    return hold_at_stage(current_run(), ConflictCommits, wish, **fields)
