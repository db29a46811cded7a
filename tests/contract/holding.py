"""What a fault on something real is held with: the system's clock, and a ledger in a folder."""

from pathlib import Path

from k2chaos.clock import SystemClock
from k2chaos.evidence.ledger import FaultLedger
from k2chaos.system.faults import System
from k2chaos.system.faults.held import Holding
from k2chaos.system.interrupt import Interrupt


def holding_on(system: System, folder: Path) -> Holding:
    """Its ledger is ``faults.jsonl`` in *folder*; no guardian watches."""
    ledger = FaultLedger("run-1", "test", (folder / "faults.jsonl",))
    return Holding(system, ledger, SystemClock(), Interrupt())
