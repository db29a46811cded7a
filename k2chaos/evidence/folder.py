"""
The run folder: everything one experiment left.

Owns names and formats of the files in it (see `FILES`). Rules: written as it happens; whole files
are replaced, never overwritten; every secret of the pipeline file is blotted out before anything
reaches the disk.
"""

import itertools
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from k2chaos.errors import UsageError
from k2chaos.evidence.state import replacing, write_atomically

FILES: Final[Mapping[str, str]] = {
    "run.json": "what was run, on what: experiment, pipeline file, versions, images, host",
    "faults.jsonl": "the fault ledger: tried, active, healed, failed",
    "samples.arrows": "what the observer saw of every stage, several times a second (Arrow stream)",
    "events.jsonl": "activities, measurements, stage errors, recovery, in the order of time",
    "window.json": "the records the run answers for: last id of each key before and after",
    "records/": "what was seen of each stage (Parquet), and of values and letters beside them",
    "committed.json": "by partition, the offset that the sink's group had committed at the end",
    "chaostoolkit.log": "the log, as it scrolled by",
    "journal.json": "Chaos Toolkit's journal, written live",
    "manifest.json": "size and SHA-256 of the files above but the log, as the run ended",
    "verdict.json": "verdict, reasons, findings, faults, records",
}

AT_DEADLINE: Final = ".at-deadline"
"""Behind a stage's name in ``records/``: what it showed when its deadline passed."""
MANIFEST: Final = "manifest.json"
AUDIT: Final = "audit"
"""The ``kind`` in ``run.json`` of an audit, which breaks nothing."""
BLOT: Final = "***"
_SHORTEST_SECRET: Final = 4


@dataclass(frozen=True, slots=True)
class RunFolder:
    """
    Writer of one run folder.

    Attributes:
        secrets: Values that must not reach the disk.
    """

    path: Path
    secrets: tuple[str, ...] = field(default=(), repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def run(self) -> str:
        """The run's name, unique under its journals folder."""
        return self.path.name

    @property
    def ledger(self) -> Path:
        """Where the ledger's copy goes."""
        return self.path / "faults.jsonl"

    def write_json(self, name: str, value: object) -> None:
        """Replace the file *name* by *value*; what is not JSON is written as its ``repr``."""
        with self._lock:
            write_atomically(self.path / name, redacted_json(value, self.secrets, indent=2) + "\n")

    def append_event(self, event: str, at: datetime | None = None, **facts: object) -> None:
        """Add one line to ``events.jsonl``; safe from any thread."""
        line = {"at": (at or datetime.now(UTC)).isoformat(), "event": event, **facts}
        text = redacted_json(line, self.secrets)
        with self._lock, (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def write_records(self, stage: str, records: pa.Table) -> None:
        """Keep what was seen of *stage* (or of something beside the stages)."""
        path = self.path / "records" / f"{stage}.parquet"
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as draft:
            pq.write_table(records, draft, compression="zstd")


def create_run_folder(
    journals: Path, name: str, started: datetime, secrets: Sequence[str] = ()
) -> RunFolder:
    """
    Make ``journals/<started>-<name>``, with a number behind it where it exists already.

    Raises:
        UsageError: The folder cannot be made.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "experiment"
    stem = f"{started.astimezone(UTC):%Y-%m-%dT%H-%M-%SZ}-{slug}"
    try:
        journals.mkdir(parents=True, exist_ok=True)
        names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        path = next(journals / one for one in names if not (journals / one).exists())
        path.mkdir()
    except OSError as error:
        message = (
            f"cannot make a run folder in {journals} ({error}): "
            "point K2CHAOS_JOURNALS at a writable folder"
        )
        raise UsageError(message) from error
    return open_run_folder(path, secrets)


def open_run_folder(path: Path, secrets: Sequence[str] = ()) -> RunFolder:
    """The run folder at *path*, which is there; what is too short to be a secret is left alone."""
    return RunFolder(path, tuple(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET))


def redacted_json(value: object, secrets: Sequence[str], indent: int | None = None) -> str:
    """
    *value* as JSON text without any secret; NaN and non-JSON values as their ``repr``, and what
    UTF-8 cannot hold (half of a surrogate pair, a byte of a file's name) as an escape.
    """
    plain = json.loads(json.dumps(value, default=repr), parse_constant=str)
    return json.dumps(_blotted(plain, secrets), indent=indent, ensure_ascii=False)


def _blotted(node: Any, secrets: Sequence[str]) -> Any:
    if isinstance(node, dict):
        return {_blotted(key, secrets): _blotted(value, secrets) for key, value in node.items()}
    if isinstance(node, list):
        return [_blotted(value, secrets) for value in node]
    if not isinstance(node, str):
        return node
    for secret in secrets:
        node = node.replace(secret, BLOT)
    return node if node.isascii() else node.encode("utf-8", "backslashreplace").decode("utf-8")
