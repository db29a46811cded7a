"""The process that holds a fault and is killed; it is all product but for the wrapped steps."""

import os
from dataclasses import dataclass
from pathlib import Path

from k2chaos.clock import SystemClock
from k2chaos.evidence.ledger import FaultLedger
from k2chaos.system.endpoints import endpoints_of
from k2chaos.system.engine import connect
from k2chaos.system.faults import System
from k2chaos.system.faults.held import Holding, held
from k2chaos.system.guardian.keeper import Guardian
from k2chaos.system.interrupt import Interrupt
from k2chaos.system.runtime import Container, Endpoint
from tests.fakes.examples import DATA_EXAMPLES, EXAMPLES, FEED_EXAMPLES
from tools.residue.boundaries import Boundary, dying_at, kill_everything

KINDS = {**EXAMPLES, **FEED_EXAMPLES, **DATA_EXAMPLES}
LONGEST_SECONDS = 60.0
SERVICE = "kafka"


@dataclass(frozen=True, slots=True)
class Trial:
    """
    One fault, and when its run is killed.

    Attributes:
        state: The state directory of this trial alone.
        guardian_dies: The guardian is killed at the same moment.
        seed: Decides how far into a step the kill comes.
        pipeline_file: What whoever heals reads, where the target is no container.
        endpoint: The target, where it is no container.
    """

    kind: str
    boundary: Boundary
    guardian_dies: bool
    seed: int
    engine: str
    project: str
    state: Path
    pipeline_file: Path | None = None
    endpoint: Endpoint | None = None

    @property
    def ledger(self) -> Path:
        """The run's ledger."""
        return self.state / "faults" / "residue.jsonl"

    def __str__(self) -> str:
        """As a line about it begins."""
        alone = " with its guardian" if self.guardian_dies else ""
        return f"{self.kind}, killed{alone} {self.boundary}"


def hold(trial: Trial) -> None:
    """Hold the fault of *trial* and be killed in the middle of it."""
    os.setsid()
    ledger = FaultLedger("residue", trial.project, (trial.ledger,), trial.pipeline_file)
    guardian = Guardian(trial.ledger, trial.engine, trial.state / "guardian.log")

    def die() -> None:
        kill_everything(guardian.pid if trial.guardian_dies else None)

    steps = dying_at(trial.boundary, die, trial.seed)
    system = System(connect(trial.engine), endpoints_of(trial.pipeline_file))
    holding = Holding(system, ledger, SystemClock(), Interrupt(), guardian.watch_over, steps)
    target = trial.endpoint or Container(trial.engine, trial.project, SERVICE)
    with held(KINDS[trial.kind](target), LONGEST_SECONDS, holding):
        pass
    die()  # a kill within a step that was over before it came
