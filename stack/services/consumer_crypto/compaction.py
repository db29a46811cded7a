"""
Many small files into few big ones: the same rows, the same offsets, one commit.

Rules of this file:

- Only files of one day and of about the same size (a factor of ten) are put together, oldest
  first. So a row is rewritten a few times in its life, not each time somebody tidies up.
- A size is due when it has enough files, or enough rows for one full file.
- The newest files are left alone: readers that follow the table have not seen them for long.
- Rows are counted before and after. A table with row-level deletes is left alone, for a rewrite
  would have to apply them.
- The snapshot is of the kind ``replace``: whoever follows the table knows that no row changed.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.manifest import DataFile, ManifestContent, ManifestEntry
from pyiceberg.table import FileScanTask, Table
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update.snapshot import _OverwriteFiles

from consumer_crypto import files
from consumer_crypto.offsets import PROPERTY, Carried
from consumer_crypto.settings import UpkeepSettings

_NOTHING: Final[Mapping[str, str]] = {}


class RewriteError(Exception):
    """The rewritten rows are not the rows that were read; nothing was committed."""


@dataclass(frozen=True, slots=True)
class Live:
    """A data file of the current snapshot; a later *age* was added later."""

    file: DataFile
    age: int

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return int(self.file.record_count)


@dataclass(frozen=True, slots=True)
class Compacted:
    """What one compaction did."""

    before: int
    after: int
    rows: int
    seconds: float


class _Replace(_OverwriteFiles):
    """An overwrite that says that it changed no rows."""

    def _summary(self, snapshot_properties: dict[str, str] = dict(_NOTHING)) -> Summary:  # noqa: B006 - as inherited
        summary = super()._summary(snapshot_properties)
        return Summary(Operation.REPLACE, **summary.additional_properties)


def live(snapshot: Snapshot, io: FileIO) -> list[Live] | None:
    """List the data files of *snapshot*; ``None`` if it has row-level deletes."""
    manifests = snapshot.manifests(io)
    if any(one.content != ManifestContent.DATA for one in manifests):
        return None
    entries = [e for one in manifests for e in one.fetch_manifest_entry(io, discard_deleted=True)]
    return [Live(entry.data_file, _age(entry)) for entry in entries]


def _age(entry: ManifestEntry) -> int:
    return entry.sequence_number or 0


def due(known: Iterable[Live], settings: UpkeepSettings) -> Sequence[Live]:
    """Choose which of the *known* files to put together now; none if it is not worth while."""
    ordered = sorted(known, key=lambda one: (one.age, one.file.file_path))
    groups: dict[tuple[Any, int], list[Live]] = defaultdict(list)
    for one in ordered[: -settings.leave]:
        if one.rows < settings.rows:
            groups[one.file.partition[0], len(str(one.rows))].append(one)
    for group in groups.values():
        # What waited for long (an outage, an old table) is not all done in one step.
        chosen = _filling(group[: settings.files], settings.rows)
        full = sum(one.rows for one in chosen) >= settings.rows
        if len(chosen) > 1 and (full or len(group) >= settings.files):
            return chosen
    return []


def _filling(group: Sequence[Live], rows: int) -> Sequence[Live]:
    """Take from the beginning of *group* what makes one file of about *rows* rows."""
    total = 0
    for count, one in enumerate(group):
        total += one.rows
        if total >= rows:
            return group[: count + 1]
    return group


def compact(
    table: Table,
    carried: Carried,
    settings: UpkeepSettings,
    clock: Callable[[], float] = time.monotonic,
) -> Compacted | None:
    """
    Put the files together that are due, on top of the snapshot that *table* knows.

    Raises:
        CommitFailedException: Somebody committed in between; nothing changed.
        RewriteError: The rows do not add up; nothing was committed.
    """
    started = clock()
    snapshot = table.current_snapshot()
    known = live(snapshot, table.io) if snapshot else None
    chosen = due(known, settings) if known else []
    if not chosen:
        return None
    old = [one.file for one in chosen]
    new = _rewritten(table, old)
    _commit(table, carried, old, new)
    rows = sum(file.record_count for file in new)
    return Compacted(len(old), len(new), rows, clock() - started)


def _rewritten(table: Table, old: Sequence[DataFile]) -> Sequence[DataFile]:
    expected = sum(file.record_count for file in old)
    new = list(files.write(table, _read(table, old)))
    if (found := sum(file.record_count for file in new)) != expected:
        message = f"{expected} rows were to be rewritten, {found} were written"
        raise RewriteError(message)
    return new


def _read(table: Table, chosen: Sequence[DataFile]) -> pa.Table:
    scan = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue())
    return scan.to_table([FileScanTask(file) for file in chosen])


def _commit(
    table: Table, carried: Carried, old: Sequence[DataFile], new: Sequence[DataFile]
) -> None:
    transaction = table.transaction()
    # Offsets of nobody are not carried: a table that others filled stays one that is refused.
    properties = {PROPERTY: carried.to_property()} if carried.batch else {}
    with _Replace(
        operation=Operation.OVERWRITE,
        transaction=transaction,
        io=table.io,
        snapshot_properties=properties,
    ) as replace:
        for file in old:
            replace.delete_data_file(file)
        for file in new:
            replace.append_data_file(file)
    transaction.commit_transaction()
