"""
Reading what each stage shows of a run's records, for the probes and for the final audit.

A stage is read once its tail has drained or the deadline has passed; what is missing then is
missing. A stage that refuses leaves an event: silence is never taken for absence.
"""

import logging
from dataclasses import asdict

import pyarrow as pa

from k2chaos.errors import StageBlind, StageUnavailable
from k2chaos.evidence.records import Window
from k2chaos.system.run import Run

logger = logging.getLogger("chaostoolkit")

DRAIN_DEADLINE_SECONDS = 30.0


def read_until_now(run: Run, stage: str, deadline_seconds: float) -> tuple[Window, pa.Table]:
    """
    The window from the run's baseline to this moment, and what *stage* shows of it.

    Raises:
        StageUnavailable: The stage, or the exchange, refused, hung or erred at the deadline.
        StageBlind: We could not look.
    """
    window = run.stages.window_since(run.baseline)
    return window, _read(run, stage, window, deadline_seconds)


def gather_records(run: Run) -> None:
    """Put the window and the records of every stage into the run folder."""
    logger.info("reading the records of every stage")
    try:
        window = run.stages.window_since(run.baseline)
    except (StageUnavailable, StageBlind) as error:
        _note(run, run.pipeline.stages[0], error)
        return
    run.folder.write_json("window.json", asdict(window))
    for stage in run.pipeline.stages:
        if stage == "exchange":
            continue
        try:
            run.folder.write_records(stage, _read(run, stage, window, DRAIN_DEADLINE_SECONDS))
        except (StageUnavailable, StageBlind) as error:
            _note(run, stage, error)


def _read(run: Run, stage: str, window: Window, deadline_seconds: float) -> pa.Table:
    run.stages.wait_until_drained(stage, window.until, deadline_seconds, run.interrupt.requested)
    return run.stages.read_window(stage, window, run.baseline)


def _note(run: Run, stage: str, error: Exception) -> None:
    event = "stage-unavailable" if isinstance(error, StageUnavailable) else "not-audited"
    run.folder.append_event(event, stage=stage, reason=str(error))
    logger.warning("%s: %s", stage, error)
