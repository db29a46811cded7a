"""
The table as something that can be disturbed: another writer, which commits snapshots of nothing.

An empty append adds no data and no file of data, but moves the table on, so that whoever prepared
a commit on the snapshot before is refused. Its snapshots stay in the history, marked.
"""

import contextlib
import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from k2chaos.clock import Clock, SystemClock
from k2chaos.errors import StageError, TargetNotReady
from k2chaos.pipeline import Record, Table
from k2chaos.system.table import TableClient

MARK: Final = "k2chaos.fault"

_storms: dict[str, "_Storm"] = {}
_lock: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Commit:
    """
    One snapshot of the table's history.

    Attributes:
        mark: The tag of the fault that made it; empty where it is not ours.
        at: When its writer says that it was made.
        operation: ``append``, ``overwrite``, ...
    """

    mark: str
    at: datetime
    operation: str


class TableControl(Protocol):
    """What faults may do to a table."""

    def now(self) -> datetime:
        """The clock that our own commits are dated by."""

    def commits_since(self, moment: datetime) -> tuple[Commit, ...]:
        """The snapshots of the current history, not older than *moment*, the oldest first."""

    def start_commits(self, tag: str, per_second: float, longest_seconds: float) -> None:
        """
        Commit empty snapshots marked with *tag* from a thread of this process.

        Args:
            longest_seconds: After which it ends by itself, whatever became of its holder.
        """

    def stop_commits(self, tag: str) -> None:
        """End that thread; nothing to do where it lived in another process."""


class IcebergControl:
    """`TableControl` over a real catalog."""

    def __init__(self, table: Table, record: Record) -> None:
        """Connect to nothing yet."""
        # Lookers are content with the newest snapshot; here the history is what is looked at.
        whole = replace(table, catalog={**table.catalog, "snapshot-loading-mode": "all"})
        self._table = table
        self._record = record
        self._client = TableClient(whole, record)
        self._clock = SystemClock()

    def now(self) -> datetime:
        """This host's clock: snapshots are dated by their writer."""
        return self._clock.now()

    def commits_since(self, moment: datetime) -> tuple[Commit, ...]:
        """Load the table's metadata anew."""
        with _translating(), self._client.translating("asking for the history"):
            found = []
            for one in self._client.load().metadata.snapshots:
                at = datetime.fromtimestamp(one.timestamp_ms / 1000, UTC)
                summary: Any = one.summary
                if at >= moment and summary is not None:
                    found.append(Commit(summary[MARK] or "", at, summary.operation.value))
        return tuple(sorted(found, key=lambda commit: commit.at))

    def start_commits(self, tag: str, per_second: float, longest_seconds: float) -> None:
        """With a connection of its own."""
        client = TableClient(self._table, self._record)
        with _lock:
            _storms[tag] = _Storm(client, tag, 1 / per_second, longest_seconds, self._clock)

    def stop_commits(self, tag: str) -> None:
        """Let the last commit end."""
        with _lock:
            storm = _storms.pop(tag, None)
        if storm is not None:
            storm.stop()


class _Storm:
    """A writer of nothing, and the thread that it lives in."""

    def __init__(
        self, client: TableClient, tag: str, every: float, longest: float, clock: Clock
    ) -> None:
        self._client = client
        self._properties = {MARK: tag}
        self._every = every
        self._clock = clock
        self._until = clock.monotonic() + longest
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="k2chaos-commits", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        from pyiceberg.exceptions import CommitFailedException

        due = self._clock.monotonic()
        translating = functools.partial(self._client.translating, "committing nothing")
        while not self._ended.is_set() and self._clock.monotonic() < self._until:
            # One of ours may lose the race as well: the next one follows at once.
            with contextlib.suppress(StageError, CommitFailedException), translating():
                self._commit()
            due = max(due + self._every, self._clock.monotonic())
            self._ended.wait(due - self._clock.monotonic())
        self._client.close()

    def _commit(self) -> None:
        table = self._client.load()
        # A handle that knows of no older metadata files does not delete them: not ours to do.
        table.metadata = table.metadata.model_copy(update={"metadata_log": []})
        table.metadata.properties["commit.retry.num-retries"] = "0"
        nothing = table.schema().as_arrow().empty_table()
        table.append(nothing, snapshot_properties=self._properties)


@contextlib.contextmanager
def _translating() -> Iterator[None]:
    """A table that cannot be read cannot be disturbed, nor be seen at peace again."""
    try:
        yield
    except StageError as error:
        raise TargetNotReady(str(error)) from error
