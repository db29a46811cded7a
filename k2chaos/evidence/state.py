"""
What outlives a run's process: one state directory per user.

::

    $XDG_STATE_HOME/k2chaos/
      faults/<run>.jsonl          the ledger of a run until everything in it is healed
      locks/<project>.lock        held (flock) while a run on that Compose project is alive
      locks/<project>.json        who holds it; only believed while the lock is held

It is not in the working directory, so that healing works from anywhere.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from k2chaos.errors import LockedByAnother, UsageError


def state_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """``$XDG_STATE_HOME/k2chaos``, made if need be."""
    base = environ.get("XDG_STATE_HOME")
    path = Path(base) / "k2chaos" if base else user_state_path("k2chaos")
    try:
        for folder in ("faults", "locks"):
            (path / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        message = (
            f"cannot keep state in {path} ({error}): point XDG_STATE_HOME at a writable folder"
        )
        raise UsageError(message) from error
    return path


def write_atomically(path: Path, text: str) -> None:
    """Replace *path* by *text*: a reader sees the old or the new, never half."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside *path* that takes its place, once it is on the disk, where the block ends."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a pipeline: the run, its process, and since when (ISO 8601)."""

    run: str
    pid: int
    since: str
    folder: str


@dataclass(frozen=True, slots=True)
class PipelineLock:
    """
    One run per pipeline at a time; the lock dies with its holder.

    Attributes:
        pipeline: The Compose project, not the file's name: two files may describe one project.
    """

    directory: Path
    pipeline: str

    @contextlib.contextmanager
    def held_by(self, holder: Holder) -> Iterator[None]:
        """
        Hold the lock for the block.

        Raises:
            LockedByAnother: A living run holds it; the message says which.
        """
        lock = FileLock(self._path(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            other = self.holder()
            who = (
                f"run {other.run} (process {other.pid}, since {other.since})" if other else "a run"
            )
            message = (
                f"pipeline {self.pipeline} is held by {who}; wait for it to end, or interrupt it. "
                "Nothing was touched"
            )
            raise LockedByAnother(message) from error
        except OSError as error:
            message = f"cannot lock {self._path('.lock')} ({error}): is {self.directory} writable?"
            raise UsageError(message) from error
        try:
            facts = {"run": holder.run, "pid": holder.pid, "since": holder.since}
            write_atomically(
                self._path(".json"), json.dumps({**facts, "folder": holder.folder}) + "\n"
            )
            yield
        finally:
            lock.release()

    def holder(self) -> Holder | None:
        """Who holds the lock now; ``None`` where nobody does."""
        lock = FileLock(self._path(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return self._read_holder()
        except OSError:
            return None  # it cannot be locked, so nobody holds it
        lock.release()
        return None

    def _read_holder(self) -> Holder | None:
        try:
            facts: dict[str, Any] = json.loads(self._path(".json").read_text(encoding="utf-8"))
            return Holder(facts["run"], facts["pid"], facts["since"], facts["folder"])
        except (OSError, ValueError, KeyError):
            return Holder("unknown", 0, "unknown", "")

    def _path(self, suffix: str) -> Path:
        return self.directory / "locks" / f"{self.pipeline}{suffix}"


def held_pipelines(directory: Path) -> dict[str, Holder]:
    """The living holder of every pipeline that is held now."""
    names = (path.stem for path in (directory / "locks").glob("*.lock"))
    holders = ((name, PipelineLock(directory, name).holder()) for name in sorted(names))
    return {name: holder for name, holder in holders if holder is not None}
