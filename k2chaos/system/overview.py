"""What runs, who holds what, who watches, and what is open: all of it as plain JSON; only looks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from k2chaos.clock import Clock
from k2chaos.errors import K2ChaosError
from k2chaos.system import engine_lock
from k2chaos.system.engine_lock import LOCK, Mark, Marks
from k2chaos.system.faults.healing import OpenFault, status

_PROC: Final = Path("/proc")
_GUARDIAN: Final = b"k2chaos.system.guardian.process"


def overview(directory: Path, clock: Clock, connect: Callable[[], Marks]) -> dict[str, Any]:
    """
    The state *directory*, and the locks on the engine.

    Returns:
        ``runs``, ``engine_locks`` (``None`` where the engine does not answer; ``engine_trouble``
        then says why), ``open`` and ``unreadable``.
    """
    found = status(directory, clock)
    locks: list[dict[str, Any]] | None = None
    trouble = None
    try:
        locks = [_lock(one) for one in connect().marks(LOCK)]
    except K2ChaosError as error:
        trouble = str(error)
    return {
        "runs": [
            {
                "project": project,
                "run": one.run,
                "pid": one.pid,
                "since": one.since,
                "folder": one.folder,
                "guardian_pid": guardian_of(directory / "faults" / f"{one.run}.jsonl"),
            }
            for project, one in found.holders.items()
        ],
        "engine_locks": locks,
        "engine_trouble": trouble,
        "open": [_fault(one) for one in found.open],
        "unreadable": [*found.unreadable],
    }


def guardian_of(ledger: Path) -> int | None:
    """The process that watches over *ledger*; ``None`` where none lives (or ``/proc`` lacks)."""
    wanted = str(ledger.absolute()).encode()
    for path in _PROC.glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if _GUARDIAN in words and wanted in words:
            return int(path.parent.name)
    return None


def is_clean(seen: dict[str, Any]) -> bool:
    """Whether nothing is open that nobody answers for, and all of it could be read."""
    return not seen["unreadable"] and not any(one["abandoned"] for one in seen["open"])


def _lock(lock: Mark) -> dict[str, Any]:
    names = ("run", "user", "host", "pid", "since")
    facts = {name: lock.labels.get(f"{LOCK}.{name}") for name in names}
    return {
        "project": lock.labels.get(LOCK),
        **facts,
        "abandoned": engine_lock.is_abandoned(lock.labels),
    }


def _fault(fault: OpenFault) -> dict[str, Any]:
    entry = fault.entry
    return {
        "id": entry.fault_id,
        "kind": entry.fault.get("kind"),
        "target": fault.target,
        "project": entry.pipeline,
        "run": entry.run,
        "deadline": entry.deadline.isoformat(),
        "abandoned": fault.is_abandoned,
    }
