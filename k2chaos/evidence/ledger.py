"""
The fault ledger: what was tried, became active, was healed, or failed.

Append-only JSON lines, each fsynced before the call returns: a line ``tried`` is on disk before
its fault is in the system, so whoever comes next can heal from the file alone. Two copies: one in
the state directory, which anyone can find and which goes away once all in it is healed, and one
in the run folder, which stays. A last line cut short by a crash is ignored (what it would have
said had not happened yet); any other unreadable line is told, never skipped in silence.
"""

import contextlib
import errno
import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from k2chaos.errors import RunError, in_words

Event = Literal["tried", "active", "healed", "failed"]


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """
    What the ledger says of one fault in all.

    Attributes:
        fault: The fault's value as JSON, enough to heal it: ``kind`` and its fields.
        deadline: Past it, anyone may heal the fault.
        events: The lines of this fault in their order.
        path: The file they were read from.
    """

    fault_id: str
    run: str
    pipeline: str
    fault: Mapping[str, Any]
    deadline: datetime
    events: Sequence[Mapping[str, Any]]
    path: Path = Path()

    @property
    def is_open(self) -> bool:
        """Not yet confirmed gone."""
        return all(event["event"] != "healed" for event in self.events)

    @property
    def was_witnessed(self) -> bool:
        """A witness saw it in effect."""
        return any(event["event"] == "active" for event in self.events)

    @property
    def pipeline_file(self) -> Path | None:
        """Where the pipeline is described: what heals a fault that has no container."""
        named = self.events[0].get("pipeline_file")
        return Path(named) if named else None

    @property
    def copies(self) -> tuple[Path, ...]:
        """The run folder's copies of the ledger that are still there."""
        named = (Path(text) for text in self.events[0].get("copies", ()))
        return tuple(path for path in named if path.parent.is_dir())


@dataclass(frozen=True, slots=True)
class LedgerReading:
    """The entries of a ledger, in the order tried, and the lines that could not be read."""

    entries: tuple[LedgerEntry, ...]
    unreadable: tuple[str, ...]

    @property
    def open(self) -> tuple[LedgerEntry, ...]:
        """Those not yet healed."""
        return tuple(entry for entry in self.entries if entry.is_open)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What to do about each line that could not be read: only a person can tell."""
        advice = "was it a fault? Look at it, undo it by hand, remove it"
        return tuple(f"unreadable: {line}: {advice}" for line in self.unreadable)


@dataclass(frozen=True, slots=True)
class FaultLedger:
    """
    Writer of one run's ledger.

    Attributes:
        paths: Where every line goes, the state directory's copy first.
        pipeline_file: Where the pipeline is described, for whoever heals.
    """

    run: str
    pipeline: str
    paths: tuple[Path, ...]
    pipeline_file: Path | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tried(
        self, fault_id: str, fault: Mapping[str, Any], deadline: datetime, *, at: datetime
    ) -> None:
        """About to inject; on disk when this returns."""
        facts = {
            "run": self.run,
            "pipeline": self.pipeline,
            "pid": os.getpid(),
            "pipeline_file": str(self.pipeline_file.absolute()) if self.pipeline_file else None,
            "copies": [str(path.absolute()) for path in self.paths[1:]],
        }
        self._append(
            "tried", fault_id, at, {**facts, "fault": fault, "deadline": deadline.isoformat()}
        )

    def active(self, fault_id: str, seen: Mapping[str, Any], *, at: datetime) -> None:
        """The witness saw it."""
        self._append("active", fault_id, at, {"seen": seen})

    def healed(self, fault_id: str, seen: Mapping[str, Any], *, at: datetime) -> None:
        """The witness saw it gone."""
        self._append("healed", fault_id, at, {"seen": seen})

    def failed(self, fault_id: str, reason: str, *, at: datetime) -> None:
        """Something went wrong; the fault stays open until it is healed."""
        self._append("failed", fault_id, at, {"reason": reason})

    def open_entry(self, fault_id: str) -> LedgerEntry | None:
        """What stands in the state directory's copy of a fault that is open there."""
        return next(
            (one for one in read_ledger(self.paths[0]).open if one.fault_id == fault_id), None
        )

    def close(self) -> None:
        """Drop the state directory's copy if nothing in it is open any more."""
        with self._lock:
            drop_when_done(self.paths[0])

    def _append(self, event: Event, fault_id: str, at: datetime, facts: Mapping[str, Any]) -> None:
        line = {"schema": 1, "event": event, "fault_id": fault_id, "at": at.isoformat(), **facts}
        text = json.dumps(line, default=str) + "\n"
        troubles: dict[Path, OSError] = {}
        with self._lock:
            for path in self.paths:
                try:
                    _append_durably(path, text)
                except OSError as error:
                    troubles[path] = error
            if troubles and event == "tried":
                for path in (one for one in self.paths if one not in troubles):
                    _take_back(path, text)  # what is never injected must not stay open
        if troubles:
            _tell(event, fault_id, troubles)


def drop_when_done(path: Path) -> None:
    """Remove a ledger in which nothing is open; one with lines nobody can read is kept."""
    reading = read_ledger(path)
    if not reading.open and not reading.unreadable:
        path.unlink(missing_ok=True)


def _tell(event: Event, fault_id: str, troubles: Mapping[Path, OSError]) -> None:
    """Raise, with what is to be done about it."""
    where = "; ".join(f"{path}: {error.strerror or error}" for path, error in troubles.items())
    advice = (
        "nothing was injected; make room, or check who may write there"
        if event == "tried"
        else f"make room there, then `k2chaos heal {fault_id}` puts it right"
    )
    message = f"the fault ledger cannot say that {fault_id} is {event} ({where}): {advice}"
    raise RunError(message)


def _append_durably(path: Path, text: str) -> None:
    """All of *text* is on disk when this returns; a full disk is an error, never half a line."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        before = os.fstat(descriptor).st_size
        # Behind a line that was cut off ours would be unreadable, too.
        line = ("\n" if _is_cut(path, before) else "").encode() + text.encode()
        if os.write(descriptor, line) != len(line):
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_cut(path: Path, size: int) -> bool:
    """Whether the file's last line was not written to its end."""
    if size == 0:
        return False
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) != b"\n"


def _take_back(path: Path, text: str) -> None:
    """Remove the line *text* from the end, if it still is the end."""
    line = text.encode()
    with contextlib.suppress(OSError), path.open("r+b") as file:
        start = file.seek(0, os.SEEK_END) - len(line)
        if start >= 0 and file.seek(start) == start and file.read() == line:
            file.truncate(start)


def read_ledger(path: Path) -> LedgerReading:
    """Read one ledger; a file that is not there reads as empty."""
    if not path.exists():
        return LedgerReading((), ())
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        return LedgerReading((), (f"{path}: {in_words(error)}",))
    events: list[dict[str, Any]] = []
    unreadable: list[str] = []
    for number, line in enumerate(lines, start=1):
        is_torn_tail = number == len(lines)
        if not line or is_torn_tail:
            continue
        try:
            events.append(_event(line))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            unreadable.append(f"{path}:{number}: {in_words(error)}")
    return LedgerReading(_entries(events, path), tuple(unreadable))


def _event(line: bytes) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(line)
    datetime.fromisoformat(event["at"])
    if event["event"] == "tried":
        datetime.fromisoformat(event["deadline"])
        str(event["fault"]["kind"])
        str(event["run"] + event["pipeline"])
        dict(event["fault"].get("target", {}))
        [Path(copy) for copy in event.get("copies", ())]
    return {**event, "fault_id": str(event["fault_id"])}


def _entries(events: Iterable[dict[str, Any]], path: Path) -> tuple[LedgerEntry, ...]:
    by_fault: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        by_fault.setdefault(event["fault_id"], []).append(event)
    return tuple(
        LedgerEntry(
            fault_id=fault_id,
            run=lines[0]["run"],
            pipeline=lines[0]["pipeline"],
            fault=lines[0]["fault"],
            deadline=datetime.fromisoformat(lines[0]["deadline"]),
            events=lines,
            path=path,
        )
        for fault_id, lines in by_fault.items()
        if lines[0]["event"] == "tried"
    )


def read_state_ledgers(directory: Path) -> LedgerReading:
    """All ledgers of the state directory, of every run, as one reading."""
    readings = [read_ledger(path) for path in sorted((directory / "faults").glob("*.jsonl"))]
    return LedgerReading(
        tuple(entry for reading in readings for entry in reading.entries),
        tuple(line for reading in readings for line in reading.unreadable),
    )
