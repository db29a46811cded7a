"""
The emergency stop: ends running experiments from any terminal, and heals.

The run's own process is asked first (`STOP`, which ends it as Ctrl-C would) and given a second: it
heals faster than anyone who has to connect first, and it keeps its evidence in order. Whatever is
open after that is healed from the ledger, here. A process that is stopped (SIGSTOP, a debugger)
hears nothing; it is killed before, lest it go on injecting when it is continued.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from k2chaos.clock import Clock
from k2chaos.evidence.ledger import LedgerEntry, read_state_ledgers
from k2chaos.evidence.state import Holder, PipelineLock, held_pipelines
from k2chaos.system import engine_lock
from k2chaos.system.engine_lock import Marks
from k2chaos.system.interrupt import STOP

PATIENCE_SECONDS: Final = 1.0
"""For the run to have healed by itself."""
_POLL_SECONDS: Final = 0.02
_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Stopped:
    """What was done, a line each, and the ids of what is still broken."""

    did: tuple[str, ...]
    still_open: tuple[str, ...]


def stop(
    directory: Path,
    heal: Callable[[], Iterator[str]],
    clock: Clock,
    project: str | None = None,
) -> Stopped:
    """
    End the run on *project*, or all of this user's runs, and see to it that nothing stays broken.

    Args:
        heal: Heals all that is open of `project`; a line for each fault.
    """
    holders = {
        name: holder
        for name, holder in held_pipelines(directory).items()
        if project in (None, name)
    }
    had = _open(directory, project)
    did = [_ask(directory, name, holder) for name, holder in holders.items()]
    until = clock.monotonic() + PATIENCE_SECONDS
    while _open(directory, project) and clock.monotonic() < until:
        clock.wait(_POLL_SECONDS)
    left = _open(directory, project)
    gone = sorted({one.fault_id for one in had} - {one.fault_id for one in left})
    if gone:
        did.append(f"healed by the run, its guardian or its launcher: {', '.join(gone)}")
    if left:
        did += [*heal()]
    for name in holders:
        did += _still_running(directory, name, until, clock)
    return Stopped(tuple(did), tuple(one.fault_id for one in _open(directory, project)))


def force_engine_lock(marks: Marks, project: str) -> str:
    """Remove the engine-wide lock on *project*, whoever holds it; what was done."""
    lock = engine_lock.holder(marks, project)
    if lock is None:
        return f"nobody holds the engine-wide lock on {project}"
    marks.unmark(lock.identifier)
    return f"removed the engine-wide lock on {project}, held by {engine_lock.described(lock)}"


def _ask(directory: Path, project: str, holder: Holder) -> str:
    what = f"run {holder.run} on {project} (process {holder.pid})"
    if not _is_holder(holder.pid, directory, project):
        return f"{what}: its process was not found, so nobody was asked"
    with contextlib.suppress(ProcessLookupError):
        if _state_of(holder.pid) in {"T", "t"}:
            os.kill(holder.pid, signal.SIGKILL)
            return f"{what}: it was suspended and could not hear; killed"
        os.kill(holder.pid, STOP)
    return f"{what}: told to end"


def _still_running(directory: Path, project: str, until: float, clock: Clock) -> Iterator[str]:
    """Wait a little for the lock: who holds it still has not ended."""
    lock = PipelineLock(directory, project)
    while (holder := lock.holder()) is not None and clock.monotonic() < until:
        clock.wait(_POLL_SECONDS)
    if holder is not None:
        yield f"run {holder.run} (process {holder.pid}) is still ending: it injects nothing further"


def _open(directory: Path, project: str | None) -> tuple[LedgerEntry, ...]:
    return tuple(
        one for one in read_state_ledgers(directory).open if project in (None, one.pipeline)
    )


def _is_holder(pid: int, directory: Path, project: str) -> bool:
    """
    Whether the process really has the lock open: a number is used again once its process is gone,
    and a stranger must never get our signal. Where there is no ``/proc``, the file is believed.
    """
    if pid <= 0:
        return False
    if not _PROC.is_dir():
        return True
    lock = str((directory / "locks" / f"{project}.lock").resolve())
    try:
        files = [*(_PROC / str(pid) / "fd").iterdir()]
    except OSError:
        return False
    for file in files:
        with contextlib.suppress(OSError):
            if str(file.readlink()) == lock:
                return True
    return False


def _state_of(pid: int) -> str:
    """The kernel's letter for it; empty where it cannot be read."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[0]
