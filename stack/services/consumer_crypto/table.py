"""
The Iceberg table: rows and the Kafka offsets they end at go in with one commit, or not at all.

How a record is kept from being written twice, or from being lost:

1.  A snapshot carries, for every partition, the offset that comes next (`offsets.py`). At start,
    and after every rebalance, reading goes on from the newest offsets found by walking back from
    the current snapshot. Snapshots of others in between (a compaction, an empty append) do not
    hide them. A table with rows but without offsets in its history is refused.

2.  A commit is made on exactly the snapshot this process knows. PyIceberg's own retries would
    rebase a stale batch on whatever is there by then and let a zombie's batch in, so they are
    switched off for our handle. The request carries ``assert-ref-snapshot-id`` for ``main``: if
    anybody committed in between, the catalog refuses it.

3.  When refused, or when the outcome is unknown (a timeout, a lost connection, an answer that
    does not parse), nothing is assumed. The table is loaded again and its history asked:

    - a snapshot carries this batch's id: it is written;
    - the offsets of our partitions moved without us: another sink wrote them. We are the zombie,
      or have one; the process ends and its successor resumes from the table;
    - otherwise only strangers committed, or nobody: the same batch is committed once more, on top
      of the snapshot just loaded.

4.  A request whose answer was lost may still be on its way and land later. That is harmless, for
    it asserts that ``main`` is the old snapshot P. If it lands before our next try, that try
    (which asserts P as well, or something later) is refused and the history then shows the batch.
    If our next try lands first, ``main`` is no longer P and the late one is refused for ever. If a
    stranger's snapshot landed first, the same holds. Of all tries of one batch at most one can
    land. (Only a rollback of ``main`` to P by hand, in that very second, could undo this.) The
    catalog checks the assertion again on each of its own internal retries.

5.  A process that was killed in the middle of a commit leaves such a late request behind, too. If
    its successor loaded the table before it landed, the successor's first commit is refused, sees
    offsets it did not write, and ends; the next one starts from the truth.

6.  Upkeep (`upkeep.py`) runs between two batches, in the same thread, on the same snapshot we
    know, so it is under the same rules. A compaction is a commit that asserts ``main`` as in 2,
    takes files out and puts the same rows back in, and carries the offsets and the batch id of
    the snapshot it builds on. It lands wholly or not at all; if it lands, every file it takes out
    was still in the table, for ``main`` had not moved. Refused: nothing happened. Unknown: the
    next append loads the table and asserts what it finds there; then either the compaction was in
    what it found, or it lands first and that append is refused once and finds it, or the append
    lands first and the compaction is refused for ever. Either way the rows are the same and so are
    the offsets, so it fences nobody, be it ours, a killed predecessor's or a twin's.

7.  Expiring snapshots never moves ``main`` (it asserts it, too). It keeps everything from the
    current snapshot back to the newest that carries offsets. Should it take the proof that a batch
    of another sink was written, that sink sees its offsets moved, ends, and resumes from the table.

8.  Files that no snapshot refers to are deleted later (`sweep.py`). The files of a batch that is
    still being tried are such files; so tries go on with files written anew, long before the old
    ones are old enough to be deleted.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, TypeVar

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table, TableProperties

from consumer_crypto import shape, trade
from consumer_crypto.errors import FencedError, HistoryLostError, WrongTopicError
from consumer_crypto.files import Step
from consumer_crypto.offsets import (
    PROPERTY,
    Carried,
    SnapshotLike,
    ancestors,
    before_last_batch,
    holds_batch,
    newest_carried,
)

_log = logging.getLogger(__name__)

T = TypeVar("T")

FRESH_SECONDS: Final = 300.0

_PROPERTIES: Final = {
    "format-version": "2",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "30",
    # Each commit writes the whole metadata anew: without this the store fills with old copies.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    "write.parquet.compression-codec": "zstd",
    # Bounds only where readers look for them keeps the manifests of many small files small.
    "write.metadata.metrics.default": "counts",
    "write.metadata.metrics.column.symbol": "full",
    "write.metadata.metrics.column.timestamp": "full",
    "write.metadata.metrics.column.source_sequence": "full",
    "write.metadata.metrics.column.ingestion_timestamp": "full",
}


class TradesTable:
    """The table, and what this process believes it carries."""

    def __init__(
        self,
        connect: Callable[[], Catalog],
        name: str,
        topic: str,
        fresh_seconds: float = FRESH_SECONDS,
        bugs: AbstractSet[str] = frozenset(),
    ) -> None:
        """Write to the table *name* of the catalog that *connect* reaches, from *topic*."""
        self._connect = connect
        self._name = name
        self._topic = topic
        self._fresh_seconds = fresh_seconds
        self._bugs = bugs
        self._catalog: Catalog | None = None
        # None whenever somebody else, or a commit of unknown outcome, may have changed it.
        self._table: Table | None = None
        self._carried = self._expected = Carried(topic)
        self.conflicts = 0

    def resume(self) -> Mapping[int, int]:
        """
        Load the table, made if missing, and tell from which offsets to go on.

        Raises:
            HistoryLostError: It has rows and no offsets.
            WrongTopicError: Its offsets are those of another topic.
            MisfitError: It cannot take our rows until somebody mends it.
        """
        self._table = None
        table = self._load()
        self._expected = self._carried = start = self._offsets_of(table)
        if "sink-writes-twice" in self._bugs:
            start = before_last_batch(_line(table)) or start
        self._table = _without_history(table)
        return start.next_offsets

    def append(self, step: Step, owned: AbstractSet[int]) -> None:
        """
        Try once to commit *step*; returns when it is certain that it is in the table.

        Any exception but the fatal ones means "not known to be written": call again with the
        same *step* until it returns.

        Args:
            step: What to write.
            owned: The partitions assigned to us; only in these is nobody else expected to write.

        Raises:
            FencedError: Somebody else wrote partitions of ours.
            HistoryLostError: The offsets vanished from the table's history.
        """
        if self._table is None and self._has_landed(step, owned):
            return
        table, self._table = self._table, None
        if table is None:  # pragma: no cover - _has_landed() loads it or raises
            message = "the table is not loaded"
            raise AssertionError(message)
        written = step.files(table, self._fresh_seconds)
        after = self._carried.advanced(step.batch, step.ends)
        with self._counting_conflicts():
            _commit(table, written, after)
        self._table = _without_history(table)
        self._carried = self._expected = after

    def upkeep(self, change: Callable[[Table, Carried], T]) -> T | None:
        """
        Let *change* commit to the table as we know it; the offsets must stay what it is told.

        Nothing is done (``None``) while that is not known. Whatever *change* raises, the next
        append asks the table what happened.
        """
        table, self._table = self._table, None
        if table is None:
            return None
        table.metadata.properties[TableProperties.COMMIT_NUM_RETRIES] = "0"
        with self._counting_conflicts():
            result = change(table, self._carried)
        self._table = _without_history(table)
        return result

    @contextlib.contextmanager
    def _counting_conflicts(self) -> Iterator[None]:
        try:
            yield
        except CommitFailedException:
            self.conflicts += 1
            raise

    def _has_landed(self, step: Step, owned: AbstractSet[int]) -> bool:
        table = self._load()
        carried = self._offsets_of(table)
        landed = holds_batch(_line(table), step.batch)
        expected = self._expected.advanced(step.batch, step.ends) if landed else self._expected
        if moved := expected.differs(carried, owned):
            message = (
                "another sink writes our partitions: {partition: (we expect, table has)} = "
                f"{moved}, its batch {carried.batch}"
            )
            raise FencedError(message)
        if landed:
            _log.info("batch %s is in the table although its commit was not confirmed", step.batch)
            self._expected = expected
        self._carried = carried
        self._table = _without_history(table)
        return landed

    def _load(self) -> Table:
        if self._catalog is None:
            self._catalog = self._connect()
        try:
            table = self._catalog.load_table(self._name)
        except NoSuchTableError:
            table = self._create(self._catalog)
        shape.check(table)
        return table

    def _create(self, catalog: Catalog) -> Table:
        with contextlib.suppress(NamespaceAlreadyExistsError):
            catalog.create_namespace(self._name.rpartition(".")[0])
        try:
            table = catalog.create_table(
                self._name,
                schema=trade.TABLE,
                partition_spec=trade.PARTITIONING,
                properties=_PROPERTIES,
            )
        except TableAlreadyExistsError:
            return catalog.load_table(self._name)
        _log.info("created the table %s", self._name)
        return table

    def _offsets_of(self, table: Table) -> Carried:
        carried = newest_carried(_line(table))
        if carried is None and _has_rows(table):
            message = (
                f"{self._name} has rows, but no snapshot in its history carries the offsets they "
                f"end at ({PROPERTY}); going on would write records twice. Restore the snapshots, "
                "or drop the table to fill it anew"
            )
            raise HistoryLostError(message)
        if carried is not None and carried.topic != self._topic:
            message = f"{self._name} was filled from {carried.topic}, not from {self._topic}"
            raise WrongTopicError(message)
        return carried or Carried(self._topic)


def _line(table: Table) -> Iterator[SnapshotLike]:
    current = table.current_snapshot()
    return ancestors(table.metadata.snapshots, current.snapshot_id if current else None)


def _without_history(table: Table) -> Table:
    """
    Let the handle forget all snapshots but the current one.

    An append needs no other, while PyIceberg copies the whole metadata some fifteen times per
    commit: half a second of CPU at 800 snapshots, 27 minutes after the first. Nothing of this
    reaches the catalog; what is committed are changes, not the metadata. Without the log of old
    metadata files the client does not try to delete those, which the catalog does anyway.
    """
    current = table.current_snapshot()
    table.metadata = table.metadata.model_copy(
        update={
            "snapshots": [current] if current else [],
            "snapshot_log": table.metadata.snapshot_log[-1:],
            "metadata_log": [],
        }
    )
    return table


def _has_rows(table: Table) -> bool:
    current = table.current_snapshot()
    if current is None:
        return False
    total = current.summary.get("total-records") if current.summary else None
    return total is None or int(total) > 0


def _commit(table: Table, files: list[DataFile], carried: Carried) -> None:
    table.metadata.properties[TableProperties.COMMIT_NUM_RETRIES] = "0"
    transaction = table.transaction()
    properties = {PROPERTY: carried.to_property()}
    with transaction.update_snapshot(snapshot_properties=properties).merge_append() as append:
        for file in files:
            append.append_data_file(file)
    transaction.commit_transaction()
