"""
Beginning a run: everything that can be checked is, before anything is touched.

The engine, the lock, what earlier runs left, the credentials, and what stood when the run began.
"""

import contextlib
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from k2chaos.clock import Clock
from k2chaos.errors import K2ChaosError, RunError, StageBlind, UsageError
from k2chaos.evidence.folder import MANIFEST, RunFolder, create_run_folder
from k2chaos.evidence.ledger import FaultLedger, read_ledger, read_state_ledgers
from k2chaos.evidence.state import Holder, PipelineLock, state_directory
from k2chaos.pipeline import Pipeline
from k2chaos.pipeline_file import PipelineFile
from k2chaos.system import engine_lock
from k2chaos.system.admission import Admission
from k2chaos.system.engine import connect
from k2chaos.system.engine_lock import Engine
from k2chaos.system.faults.healing import sweep
from k2chaos.system.faults.needs import refuse_impossible
from k2chaos.system.guardian.keeper import Guardian
from k2chaos.system.interrupt import Interrupt
from k2chaos.system.observer.keeper import Observer
from k2chaos.system.run import Run
from k2chaos.system.runtime import Runtime
from k2chaos.system.stages import Stages, open_stages
from k2chaos.system.stop_conditions import stop_conditions
from k2chaos.system.windows import take_baseline

_DISTRIBUTIONS = ("chaostoolkit-k2chaos", "chaostoolkit", "chaostoolkit-lib")


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be run: name (of file and folder), claim, and how Chaos Toolkit was asked."""

    name: str
    claim: str
    experiment: Mapping[str, Any]
    dry: str | None = None


def begin_run(
    request: Request,
    pipeline_file: PipelineFile,
    clock: Clock,
    interrupt: Interrupt,
    environ: Mapping[str, str] = os.environ,
    engine: Callable[[], Engine] = connect,
) -> Run:
    """
    Check all that can be checked, then take the lock and open the folder.

    Raises:
        UsageError: The engine is down, or its host cannot do one of the faults, the credentials
            are wrong, no folder can be made.
        LockedByAnother: Another run holds this pipeline.
        RunError: Faults of an earlier run could not be healed; nothing was touched.
        StageError: What stood at the beginning could not be read.
    """
    directory = _trusted(state_directory(environ))
    pipeline = pipeline_file.pipeline
    runtime = engine()
    refuse_impossible(request.experiment, runtime)
    started = clock.now()
    with contextlib.ExitStack() as stack:
        stages = open_stages(pipeline)
        stack.callback(stages.close)
        _check_credentials(stages, pipeline)
        folder = create_run_folder(
            Path(environ.get("K2CHAOS_JOURNALS") or "journals"),
            request.name,
            started,
            pipeline_file.secrets,
        )
        try:
            _hold(stack, directory, folder, runtime, pipeline, started)
            _heal_leftovers(directory, pipeline, clock)
            baseline = take_baseline(stages, clock, interrupt.requested)
        except BaseException:
            with contextlib.suppress(OSError):
                folder.path.rmdir()
            raise
        ledger = FaultLedger(
            folder.run,
            pipeline.compose.project,
            (_state_ledger(directory, folder.run), folder.ledger),
            pipeline_file.path,
        )
        guardian = _guardian(ledger, runtime, folder)
        run = Run(
            pipeline_file,
            runtime,
            stages,
            folder,
            ledger,
            clock,
            interrupt,
            baseline,
            guardian,
            Observer(folder, pipeline_file.path, runtime.engine),
            stop_conditions(pipeline, stages, runtime, interrupt, clock),
            Admission(),
            stack.pop_all(),
        )
    folder.append_event("began")
    folder.write_json(
        "run.json", {**_facts(run, request), "versions": _versions(runtime.version())}
    )
    return run


def _check_credentials(stages: Stages, pipeline: Pipeline) -> None:
    """Wrong credentials are the caller's mistake; a stage that is down is the baseline's."""
    try:
        stages.check_credentials()
    except StageBlind as error:
        message = f"pipeline {pipeline.name}: {error}. Nothing was touched"
        raise UsageError(message) from error


def _hold(
    stack: contextlib.ExitStack,
    directory: Path,
    folder: RunFolder,
    runtime: Engine,
    pipeline: Pipeline,
    started: datetime,
) -> None:
    """Take the lock of this user, then that of the engine."""
    run, project, since = folder.run, pipeline.compose.project, started.isoformat()
    holder = Holder(run, os.getpid(), since, str(folder.path.absolute()))
    stack.enter_context(PipelineLock(directory, project).held_by(holder))
    engine_lock.take(runtime, project, run, since)

    def let_go() -> None:
        if read_ledger(_state_ledger(directory, run)).open:
            return  # whoever heals it (the guardian, or the next run) lets go
        with contextlib.suppress(K2ChaosError):
            engine_lock.release(runtime, project, run)

    stack.callback(let_go)


def _state_ledger(directory: Path, run: str) -> Path:
    return directory / "faults" / f"{run}.jsonl"


def _guardian(ledger: FaultLedger, runtime: Runtime, folder: RunFolder) -> Guardian:
    return Guardian(ledger.paths[0], runtime.engine, folder.path / "guardian.log", ledger.pipeline)


def _trusted(directory: Path) -> Path:
    """The state directory, unless a line in it may tell of a fault and nobody can read it."""
    doubts = read_state_ledgers(directory).doubts
    if doubts:
        message = f"an earlier run may have left a fault: {'; '.join(doubts)}. Nothing was touched"
        raise RunError(message)
    return directory


def _heal_leftovers(directory: Path, pipeline: Pipeline, clock: Clock) -> None:
    healings = sweep(
        directory, connect, clock, lambda entry: entry.pipeline == pipeline.compose.project
    )
    failed = [one for one in healings if one.outcome == "failed"]
    if failed:
        names = "; ".join(f"{one.fault_id}: {one.detail}" for one in failed)
        message = (
            f"an earlier run left faults that could not be healed ({names}); "
            "run `k2chaos heal`. Nothing was touched"
        )
        raise RunError(message)


def _versions(engine: str) -> dict[str, str]:
    packages = {name: version(name) for name in _DISTRIBUTIONS}
    return {**packages, "python": platform.python_version(), "engine": engine}


def _facts(run: Run, request: Request) -> dict[str, Any]:
    pipeline = TypeAdapter(Pipeline).dump_python(run.pipeline, mode="json")
    kept = ("name", "environment", "services", "promise", "budgets", "limits", "sampling")
    states = {
        str(one): run.runtime.state(one)
        for one in run.runtime.containers(run.pipeline.compose.project)
        if one.service in run.pipeline.all_services
    }
    return {
        "schema": 1,
        "manifest": MANIFEST,
        "run": run.folder.run,
        "experiment": request.name,
        "claim": request.claim,
        "dry": request.dry,
        "started": run.baseline.started.isoformat(),
        "definition": request.experiment,
        "pipeline": {**{key: pipeline[key] for key in kept}, "stages": run.pipeline.stages},
        "pipeline_file": run.pipeline_file.text,
        "baseline": run.baseline.to_json(),
        "images": {name: state.image for name, state in states.items()},
        "host": {"name": platform.node(), "kernel": platform.release(), "cpus": os.cpu_count()},
    }
