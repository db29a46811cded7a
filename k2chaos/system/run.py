"""
The run of this process: what actions, probes and the control share.

One process runs one experiment, so there is at most one; `beginning` makes it.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from k2chaos.clock import Clock
from k2chaos.errors import OutsideRun, Unsupported
from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.folder import RunFolder
from k2chaos.evidence.ledger import FaultLedger, LedgerEntry, read_ledger
from k2chaos.pipeline import Pipeline
from k2chaos.pipeline_file import PipelineFile
from k2chaos.system.admission import Admission
from k2chaos.system.endpoints import FileEndpoints
from k2chaos.system.faults import System
from k2chaos.system.faults.held import Holding
from k2chaos.system.guardian import Watcher
from k2chaos.system.interrupt import Interrupt
from k2chaos.system.observer import Observing
from k2chaos.system.runtime import Runtime
from k2chaos.system.stages import Stages
from k2chaos.system.stop_conditions import StopConditions


@dataclass(frozen=True, slots=True)
class Run:
    """
    One run, from its lock to its folder.

    Attributes:
        baseline: What stood when the run began; its window starts there.
        guardian: Heals what this process leaves open, however it ends.
        observer: Samples every stage until it is told to end.
        stop_conditions: Watched while anything is held.
        admission: Asked before anything is held.
    """

    pipeline_file: PipelineFile
    runtime: Runtime
    stages: Stages
    folder: RunFolder
    ledger: FaultLedger
    clock: Clock
    interrupt: Interrupt
    baseline: Baseline
    guardian: Watcher
    observer: Observing
    stop_conditions: StopConditions
    admission: Admission
    _held: contextlib.ExitStack = field(repr=False)

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline under test."""
        return self.pipeline_file.pipeline

    def holding(self) -> Holding:
        """What a fault of this run is held with."""
        return Holding(
            System(self.runtime, FileEndpoints(self.pipeline_file.path)),
            self.ledger,
            self.clock,
            self.interrupt,
            self.guardian.watch_over,
        )

    def open_faults(self) -> tuple[LedgerEntry, ...]:
        """This run's faults that are not confirmed gone."""
        return read_ledger(self.folder.ledger).open

    @contextlib.contextmanager
    def noting_unsupported(self) -> Iterator[None]:
        """Leave evidence when the pipeline lacks a role or stage that was asked for."""
        try:
            yield
        except Unsupported as error:
            self.folder.append_event("unsupported", text=str(error))
            raise

    def close(self) -> None:
        """Let go of the lock and of every client; the ledger stays while something is open."""
        self.observer.end()
        self.ledger.close()
        self.guardian.close()
        self._held.close()


_current: list[Run] = []


def current_run() -> Run:
    """
    The run of this process.

    Raises:
        OutsideRun: There is none.
    """
    if not _current:
        message = (
            "no run answers for this: the experiment must declare the control, "
            '"controls": [{"name": "k2chaos", "provider": {"type": "python", '
            '"module": "k2chaos.controls"}}]'
        )
        raise OutsideRun(message)
    return _current[0]


def has_run() -> bool:
    """Whether this process holds a run."""
    return bool(_current)


def make_current(run: Run | None) -> None:
    """Declare *run* the one of this process, or none."""
    _current[:] = [] if run is None else [run]
