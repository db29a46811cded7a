"""Running trials: a target each, a kill each, and what the oracle says of it afterwards."""

import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from k2chaos.clock import SystemClock
from k2chaos.evidence.ledger import read_ledger
from k2chaos.system.engine import connect
from k2chaos.system.faults.healing import sweep
from tools.residue import oracle
from tools.residue.places import place_of
from tools.residue.victim import Trial, hold

GIVE_UP_SECONDS = 90.0

# Forked from a process that has everything imported: most of a trial's time would go into that.
_processes = get_context("forkserver")
_processes.set_forkserver_preload(["tools.residue.victim"])


@dataclass(frozen=True, slots=True)
class Result:
    """
    What became of a trial.

    Attributes:
        was_tried: The fault was on record when its run died.
        heal_seconds: From the death to an empty ledger.
        residue: What is not as it was, one line each.
    """

    trial: Trial
    was_tried: bool
    heal_seconds: float
    residue: tuple[str, ...]


def run_trial(trial: Trial) -> Result:
    """Start a container, hold the fault, be killed, wait for the heal, and look."""
    with _state() as state, place_of(trial, state) as place:
        placed = replace(
            trial, state=state, pipeline_file=place.pipeline_file, exchange=place.exchange
        )
        before = place.look()
        process = _processes.Process(target=hold, args=(placed,))
        process.start()
        process.join(GIVE_UP_SECONDS)
        died_at = time.monotonic()
        was_tried = bool(read_ledger(placed.ledger).entries)
        if trial.guardian_dies or not trial.boundary.is_watched:
            sweep(state, connect, SystemClock())
        residue = [] if _is_closed(placed) else ["the ledger: the fault is still open"]
        took = time.monotonic() - died_at
        residue += oracle.differences(before, place.look())
        if process.is_alive():
            residue.append("the run: it was not killed")
            process.kill()
    return Result(trial, was_tried, took, tuple(residue))


def _is_closed(trial: Trial) -> bool:
    return _came_true(lambda: not read_ledger(trial.ledger).open)


def _came_true(is_so: Callable[[], bool]) -> bool:
    until = time.monotonic() + GIVE_UP_SECONDS
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def _state() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="residue-"))
    (folder / "faults").mkdir()
    (folder / "locks").mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def project_name() -> str:
    """A Compose project that nobody else has."""
    return f"k2chaos-test-{uuid.uuid4().hex[:8]}"
