"""
The control that every experiment declares: it holds the run.

Before the experiment it checks, locks and opens the run folder; while it runs it keeps the
journal on disk; after it, it reads the records of every stage, judges the evidence and writes the
verdict. An experiment whose run cannot be held is interrupted before its hypothesis is tested, so
that nothing is touched.
"""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaoslib.exceptions import InterruptExecution
from chaoslib.run import RunEventHandler
from chaoslib.types import Activity, Configuration, Experiment, Journal, Secrets

from k2chaos.clock import SystemClock
from k2chaos.errors import ExperimentError, K2ChaosError, UsageError
from k2chaos.evidence.folder import RunFolder
from k2chaos.evidence.ledger import read_ledger
from k2chaos.evidence.manifest import write_manifest
from k2chaos.evidence.reading import read_run
from k2chaos.evidence.state import write_atomically
from k2chaos.judge.document import verdict_document
from k2chaos.lint import lint_experiment
from k2chaos.pipeline_file import PipelineFile, find_pipeline_file, load_pipeline
from k2chaos.system.beginning import Request, begin_run
from k2chaos.system.gathering import gather_records
from k2chaos.system.interrupt import Interrupt
from k2chaos.system.run import Run, current_run, has_run, make_current

__all__ = [
    "after_activity_control",
    "after_experiment_control",
    "before_experiment_control",
    "configure_control",
]

logger = logging.getLogger("chaostoolkit")


class _LiveJournal(RunEventHandler):  # type: ignore[misc]  # upstream has no types
    """Keeps Chaos Toolkit's journal at hand while it is being written."""

    def __init__(self) -> None:
        self.journal: Journal | None = None

    def running(
        self,
        experiment: Experiment,
        journal: Journal,
        configuration: Configuration,
        secrets: Secrets,
        schedule: Any,
        settings: Any,
    ) -> None:
        """Remember the journal that the run fills."""
        self.journal = journal

    def write(self, folder: RunFolder) -> None:
        """Put on disk what there is so far."""
        if self.journal is not None:
            folder.write_json("journal.json", self.journal)


_live = _LiveJournal()


def configure_control(event_registry: Any = None, **_arguments: Any) -> None:
    """Ask for the live journal."""
    if event_registry is not None:
        event_registry.register(_live)


def before_experiment_control(
    context: Experiment, configuration: Configuration = None, secrets: Secrets = None
) -> None:
    """
    Begin the run, or interrupt the experiment before anything is touched.

    Raises:
        InterruptExecution: The run cannot be held; the message is the one clear error.
    """
    interrupt = Interrupt()
    interrupt.install()
    try:
        run = begin_run(
            _request(context), _pipeline_file(context, configuration), SystemClock(), interrupt
        )
    except UsageError as error:
        _report(usage_error=str(error))
        raise InterruptExecution(str(error)) from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        # Upstream swallows what is not its own: without this the method would go on.
        message = f"the run could not begin: {type(error).__name__}: {error}"
        _report(usage_error=message)
        raise InterruptExecution(message) from error
    except K2ChaosError as error:
        _report(not_begun=f"{type(error).__name__}: {error}")
        raise InterruptExecution(str(error)) from error
    make_current(run)
    _report(run=str(run.folder.path.absolute()))
    logger.info("evidence goes to %s", run.folder.path)
    _live.write(run.folder)
    with interrupt.shield():
        run.observer.begin()


def after_activity_control(
    context: Activity, state: Mapping[str, Any] | None = None, **_arguments: Any
) -> None:
    """Put the journal on disk after each activity, and say in the events that it ended."""
    if not has_run():
        return
    run = current_run()
    outcome = state or {}
    run.folder.append_event(
        "activity",
        name=context.get("name"),
        status=outcome.get("status"),
        output=outcome.get("output"),
        tolerance_met=outcome.get("tolerance_met"),
    )
    _live.write(run.folder)


def after_experiment_control(context: Experiment, state: Journal = None, **_arguments: Any) -> None:
    """Read the records, judge the evidence, write the verdict, let go of the lock."""
    if not has_run():
        return
    run = current_run()
    with run.interrupt.shield():
        try:
            run.observer.end()
            if run.interrupt.requested.is_set():
                run.folder.append_event(
                    "interrupted", reason=run.interrupt.reason, code=run.interrupt.code
                )
            elif _has_something_to_prove(run, state):
                gather_records(run)
            run.folder.append_event("ended")
            run.folder.write_json("journal.json", state)
            write_manifest(run.folder.path)
            verdict = verdict_document(read_run(run.folder.path))
            run.folder.write_json("verdict.json", verdict)
            logger.info("verdict: %s", verdict["verdict"])
        finally:
            run.close()
            make_current(None)


def _has_something_to_prove(run: Run, journal: Mapping[str, Any] | None) -> bool:
    """A run that stopped at its baseline touched nothing; its records say nothing of a fault."""
    before = ((journal or {}).get("steady_states") or {}).get("before") or {}
    return before.get("steady_state_met", True) or bool(read_ledger(run.folder.ledger).entries)


def _pipeline_file(experiment: Experiment, configuration: Configuration) -> PipelineFile:
    """The pipeline file in force, after the experiment was held against it."""
    configured = (configuration or {}).get("pipeline")
    found = load_pipeline(find_pipeline_file(None, os.environ, configured))
    mistakes = lint_experiment(experiment, found.pipeline, configuration)
    if mistakes:
        raise ExperimentError(os.environ.get("K2CHAOS_EXPERIMENT") or "", mistakes)
    return found


def _request(experiment: Experiment) -> Request:
    dry = experiment.get("dry")
    claim = str(experiment.get("title", ""))
    return Request(
        name=Path(os.environ.get("K2CHAOS_EXPERIMENT") or claim).stem,
        claim=claim,
        experiment={key: value for key, value in experiment.items() if key != "dry"},
        dry=None if dry is None else str(getattr(dry, "value", dry)),
    )


def _report(**facts: str) -> None:
    """Tell the process that started this one where the evidence is, or why there is none."""
    path = os.environ.get("K2CHAOS_REPORT")
    if path:
        nothing = {"run": None, "usage_error": None, "not_begun": None}
        write_atomically(Path(path), json.dumps({**nothing, **facts}))
