"""
Healing what nobody answers for any more, before or after something else is done.

Costs next to nothing where no fault is on record: the engine's client is imported when there is.
"""

import sys

from k2chaos.clock import SystemClock
from k2chaos.errors import K2ChaosError
from k2chaos.evidence.state import state_directory


def sweep_abandoned() -> None:
    """Heal abandoned faults of all pipelines and say so; what fails is told, and stays open."""
    try:
        directory = state_directory()
        if not any((directory / "faults").glob("*.jsonl")):
            return
        from k2chaos.evidence.ledger import read_state_ledgers
        from k2chaos.system.engine import connect
        from k2chaos.system.faults.healing import sweep

        for one in sweep(directory, connect, SystemClock()):
            sys.stderr.write(f"k2chaos: {one.kind} of {one.target}: {one.outcome} {one.detail}\n")
        for doubt in read_state_ledgers(directory).doubts:
            sys.stderr.write(f"k2chaos: {doubt}\n")
    except K2ChaosError as error:
        sys.stderr.write(f"k2chaos: could not look for open faults: {error}\n")
