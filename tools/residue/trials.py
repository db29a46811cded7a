"""Running trials: a target each, a kill each, and what the oracle says of it afterwards."""

import shutil
import tempfile
import time
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
from tools.residue.places import Place, place_of
from tools.residue.victim import Trial, hold

GIVE_UP_SECONDS = 90.0
FAREWELL_SECONDS = 10.0

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
    """What became of it; one that comes to nothing does not keep the others from running."""
    try:
        with _state() as state, place_of(trial, state) as place:
            return _run_at(place, replace(trial, state=state))
    except Exception as error:  # noqa: BLE001 - whatever it was, it is told, and is no pass
        return Result(trial, was_tried=False, heal_seconds=0.0, residue=(f"the trial: {error!r}",))


def _run_at(place: Place, trial: Trial) -> Result:
    """Hold the fault, be killed, wait for the heal, and look."""
    trial = replace(trial, pipeline_file=place.pipeline_file, endpoint=place.endpoint)
    residue = [f"before it began: {line}" for line in oracle.troubles(place.before)]
    process = _processes.Process(target=hold, args=(trial,))
    process.start()
    process.join(GIVE_UP_SECONDS)
    died_at = time.monotonic()
    was_tried = bool(read_ledger(trial.ledger).entries)
    if trial.guardian_dies or not trial.boundary.is_watched:
        sweep(trial.state, connect, SystemClock())
    if not _is_closed(trial):
        residue.append("the ledger: the fault is still open")
    took = time.monotonic() - died_at
    residue += oracle.differences(place.before, place.look())
    if process.is_alive():
        residue.append("the run: it was not killed")
        process.kill()
    return Result(trial, was_tried, took, (*residue, *_still_living(trial, process.pid)))


def _still_living(trial: Trial, session: int | None) -> list[str]:
    """Processes of the trial that do not end, one line each."""
    came_true(lambda: not oracle.processes(trial.state, session), FAREWELL_SECONDS)
    return [f"still lives: {one}" for one in oracle.processes(trial.state, session)]


def _is_closed(trial: Trial) -> bool:
    return came_true(lambda: not read_ledger(trial.ledger).open)


def came_true(is_so: Callable[[], bool], seconds: float = GIVE_UP_SECONDS) -> bool:
    """Whether *is_so* holds within *seconds*."""
    until = time.monotonic() + seconds
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
