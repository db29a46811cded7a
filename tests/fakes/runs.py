"""A run on a fake runtime, with real evidence in a real folder."""

import contextlib
from pathlib import Path
from typing import Any

from k2chaos.errors import RunError
from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.folder import create_run_folder
from k2chaos.evidence.ledger import FaultLedger
from k2chaos.pipeline import Pipeline
from k2chaos.pipeline_file import PipelineFile
from k2chaos.system.admission import Admission
from k2chaos.system.faults import System
from k2chaos.system.faults.held import Holding
from k2chaos.system.interrupt import Interrupt
from k2chaos.system.run import Run
from k2chaos.system.stages import open_stages
from k2chaos.system.stop_conditions import StopConditions
from tests.fakes.clock import FakeClock
from tests.fakes.pipelines import lab_pipeline
from tests.fakes.runtime import FakeRuntime


def fake_run(folder: Path, **changes: Any) -> Run:
    """A run of the lab's pipeline with all its services up; *changes* go into the file."""
    pipeline = lab_pipeline(**changes)
    return run_of(pipeline, folder)


def fake_holding(runtime: FakeRuntime, folder: Path, *copies: Path) -> Holding:
    """What a fault on *runtime* is held with; its ledger is ``state.jsonl`` in *folder*."""
    ledger = FaultLedger("run-1", "lab", (folder / "state.jsonl", *copies))
    return Holding(System(runtime), ledger, FakeClock(), Interrupt())


class FakeGuardian:
    """Counts how often it was told of something new; refuses where it is told to."""

    def __init__(self) -> None:
        """Watch over nothing yet."""
        self.told = 0
        self.is_there = True

    def watch_over(self) -> None:
        """Be told."""
        if not self.is_there:
            message = "no guardian could be started"
            raise RunError(message)
        self.told += 1

    def close(self) -> None:
        """Nothing to let go."""


class FakeObserver:
    """Sees nothing."""

    def begin(self) -> None:
        """See `Observing`."""

    def end(self) -> None:
        """See `Observing`."""


def run_of(pipeline: Pipeline, folder: Path) -> Run:
    """A run of *pipeline* with all its services up and nothing emitted before it."""
    clock = FakeClock()
    runtime = FakeRuntime()
    for service in pipeline.all_services:
        runtime.add(service)
    run_folder = create_run_folder(folder, "test", clock.now())
    return Run(
        PipelineFile(folder / "lab.yaml", pipeline, "", ()),
        runtime,
        open_stages(pipeline, clock),
        run_folder,
        FaultLedger(run_folder.run, "lab", (folder / "state.jsonl", run_folder.ledger)),
        clock,
        Interrupt(),
        Baseline(clock.now(), {}),
        FakeGuardian(),
        FakeObserver(),
        StopConditions((), lambda _reason: None, clock),
        Admission(),
        contextlib.ExitStack(),
    )
