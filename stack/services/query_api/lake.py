"""
Reading the Iceberg table: which snapshot is current, which files it has, what is in a file.

Manifests and data files never change once written, so whatever was read of one is remembered by
its path, and a new snapshot costs only what it added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.conversions import from_bytes
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, ManifestContent, ManifestEntryStatus, ManifestFile
from pyiceberg.schema import Schema
from pyiceberg.table.snapshots import Operation, Snapshot
from pyiceberg.types import TimestampType

from query_api.trades import COLUMNS, OPTIONAL

FOREVER: Final = (-(2**63), 2**63 - 1)


class UnreadableTableError(Exception):
    """The table is there, and holds something this service cannot answer from."""


@dataclass(frozen=True, slots=True)
class File:
    """One data file: how many rows, and between which times (microseconds, both included)."""

    path: str
    rows: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Current:
    """The current snapshot of the table, and what is needed to read it."""

    snapshot: Snapshot | None
    schema: Schema
    io: FileIO

    @property
    def snapshot_id(self) -> int | None:
        """Its id, ``None`` while the table never had one."""
        return self.snapshot.snapshot_id if self.snapshot else None


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Files whose rows were put, unchanged, into others."""

    removed: frozenset[str]
    added: Mapping[str, File]


class Lake:
    """
    The table, through the catalog that *connect* reaches. For one thread.

    All the snapshots, which is much, come from the catalog that *recall* reaches: only after a
    rewrite.
    """

    def __init__(
        self, connect: Callable[[], Catalog], recall: Callable[[], Catalog], table: str
    ) -> None:
        """Read *table*."""
        self._connect = connect
        self._recall = recall
        self._name = table
        self._catalog: Catalog | None = None
        self._historian: Catalog | None = None
        self._manifests: dict[str, Sequence[File]] = {}
        self._io: FileIO | None = None

    def current(self) -> Current:
        """
        Ask the catalog for the current snapshot.

        Raises:
            NoSuchTableError: There is no such table (yet).
            OSError: The catalog does not answer.
            RESTError: The catalog answers that it cannot.
        """
        if self._catalog is None:
            self._catalog = self._connect()
        table = self._catalog.load_table(self._name)
        # One that is kept keeps its connections; every load of the table comes with a new one.
        if self._io is None or self._io.properties != table.io.properties:
            self._io = table.io
        return Current(table.current_snapshot(), table.schema(), self._io)

    def files(self, current: Current) -> Mapping[str, File]:
        """
        List the data files of the *current* snapshot.

        Raises:
            UnreadableTableError: Rows were deleted in a way that needs more than reading files.
            OSError: The store does not answer.
        """
        if current.snapshot is None:
            return {}
        known: dict[str, Sequence[File]] = {}
        for manifest in current.snapshot.manifests(current.io):
            path = manifest.manifest_path
            files = self._manifests.get(path)
            known[path] = _files_of(manifest, current) if files is None else files
        self._manifests = known
        return {file.path: file for files in known.values() for file in files}

    def rewrites(self, since: int, current: Current) -> Sequence[Rewrite] | None:
        """
        List what was rewritten between the snapshot *since* and the *current* one, in order.

        ``None`` if rows were changed in between, or if *since* is not known any longer.

        Raises:
            OSError: The catalog or the store does not answer.
        """
        if self._historian is None:
            self._historian = self._recall()
        snapshots = self._historian.load_table(self._name).metadata.snapshots
        by_id = {snapshot.snapshot_id: snapshot for snapshot in snapshots}
        found: list[Rewrite] = []
        at = current.snapshot_id
        while at != since:
            snapshot = None if at is None else by_id.get(at)
            if snapshot is None or snapshot.summary is None:
                return None
            if snapshot.summary.operation == Operation.REPLACE:
                found.append(_rewrite(snapshot, current))
            elif snapshot.summary.operation != Operation.APPEND:
                return None
            at = snapshot.parent_snapshot_id
        return found[::-1]


def _rewrite(snapshot: Snapshot, current: Current) -> Rewrite:
    time = current.schema.find_field("timestamp").field_id
    entries = [
        entry
        for manifest in snapshot.manifests(current.io)
        if manifest.added_snapshot_id == snapshot.snapshot_id
        for entry in manifest.fetch_manifest_entry(current.io, discard_deleted=False)
        if entry.snapshot_id == snapshot.snapshot_id
    ]
    removed = [e.data_file.file_path for e in entries if e.status == ManifestEntryStatus.DELETED]
    added = [_file(e.data_file, time) for e in entries if e.status == ManifestEntryStatus.ADDED]
    return Rewrite(frozenset(removed), {file.path: file for file in added})


def _files_of(manifest: ManifestFile, current: Current) -> Sequence[File]:
    entries = manifest.fetch_manifest_entry(current.io, discard_deleted=True)
    if manifest.content != ManifestContent.DATA and entries:
        message = "the table has row-level deletes, which this service does not apply"
        raise UnreadableTableError(message)
    time = current.schema.find_field("timestamp").field_id
    return [_file(entry.data_file, time) for entry in entries]


def _file(file: DataFile, time: int) -> File:
    lower, upper = (file.lower_bounds or {}).get(time), (file.upper_bounds or {}).get(time)
    if lower is None or upper is None:
        return File(file.file_path, file.record_count, *FOREVER)
    first, last = (_microsecond(bound) for bound in (lower, upper))
    return File(file.file_path, file.record_count, first, last)


def _microsecond(bound: bytes) -> int:
    value: Any = from_bytes(TimestampType(), bound)
    return int(value)


def read(io: FileIO, path: str, columns: Sequence[str] = COLUMNS.names) -> pa.Table:
    """
    Read *columns* of the data file at *path*, whatever the order it has them in.

    Raises:
        OSError: It is not there (any longer), or the store does not answer.
        pa.ArrowException: It is not what the table's columns say.
        UnreadableTableError: It lacks what every row must have.
    """
    with io.new_input(path).open() as source, pq.ParquetFile(source) as file:
        there = set(file.schema_arrow.names)
        rows = file.read(columns=[name for name in columns if name in there], use_threads=False)
    parts = [_column(rows, name, path) for name in columns]
    return pa.table(parts, schema=pa.schema([COLUMNS.field(name) for name in columns]))


def _column(rows: pa.Table, name: str, path: str) -> pa.ChunkedArray:
    kind = COLUMNS.field(name).type
    if name in OPTIONAL and name not in rows.column_names:
        return pa.chunked_array([pa.nulls(rows.num_rows, kind)])
    if name not in rows.column_names or (rows[name].null_count and name not in OPTIONAL):
        message = f"{path} has rows without {name}"
        raise UnreadableTableError(message)
    column = rows[name].cast(kind)
    return _text(column) if kind == pa.string() else column


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Replace what is not UTF-8: Parquet's readers take a writer's word for it."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        raw = column.cast(pa.binary()).to_pylist()
        texts = [None if one is None else one.decode("utf-8", "replace") for one in raw]
        return pa.chunked_array([pa.array(texts, pa.string())])
    return column
