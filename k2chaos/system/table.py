"""
The table as a place where records can be seen; with `table_control` and `iceberg_catalog` the
importer of pyiceberg.

Rules: looking changes nothing; every request to catalog and store has a timeout and no hidden
retries, for a store that needs three attempts is not the store we report as healthy. PyIceberg
costs half a second of import and is imported when a client first connects.
"""

import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import pyarrow as pa

from k2chaos.errors import StageBlind, StageUnavailable
from k2chaos.evidence.freshness import Sighting, advance, newest_of
from k2chaos.evidence.identity import empty_records, joined, records_of
from k2chaos.pipeline import Record, Table
from k2chaos.system.iceberg_catalog import open_catalog

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table as IcebergTable

_FIRST_FILES: Final = 8
"""How many of the newest files a first look reads; four times as many each further time."""
_SNAPSHOTS: Final = 3
"""How many snapshots a reading tries whose files are deleted under its eyes."""
_CREDENTIALS: Final = ("ACCESS_DENIED", "INVALID_ACCESS_KEY", "SIGNATURE_DOES_NOT", "status 403")
_TIMEOUT: Final = ("timed out", "Timeout", "curlCode: 28")
_REFUSED: Final = ("refused", "curlCode: 7")
_FOREVER: Final = (1 << 63) - 1


class TableClient:
    """
    Looks at one table. Safe to use from several threads, one look at a time.

    Args:
        table: Its name and the properties of its catalog.
        record: What identifies a record.
        seconds: How long catalog or store may take for one answer.
    """

    def __init__(self, table: Table, record: Record, seconds: float = 5.0) -> None:
        """Connect to nothing yet."""
        self.table = table
        self.record = record
        self.seconds = seconds
        self._lock = threading.RLock()
        self._catalog: Catalog | None = None
        self._io: FileIO | None = None
        self._newest: dict[str, Sighting] = {}
        self._table_uuid: UUID | None = None
        self._snapshot_id: int | None = None
        # Paths of what was planned already, and the files that no look had to read yet.
        self._manifests: set[str] = set()
        self._files: set[str] = set()
        self._older: list[DataFile] = []

    def snapshot_id(self) -> int | None:
        """The current snapshot; ``None`` where nothing was ever written."""
        with self._lock, self.translating("asking for the snapshot"):
            snapshot = self.load().current_snapshot()
            return snapshot.snapshot_id if snapshot else None

    def read(self, event_time_from: datetime, margin: timedelta = timedelta(0)) -> pa.Table:
        """
        All records of the current snapshot from *margin* before *event_time_from* on.

        Files that were compacted or expired between plan and scan are looked for in a newer
        snapshot: maintenance is no failure of the table.
        """
        with self._lock, self.translating("reading records"):
            for _ in range(_SNAPSHOTS - 1):
                with suppress(FileNotFoundError):
                    return self._scan(event_time_from - margin)
            return self._scan(event_time_from - margin)

    def _scan(self, since: datetime) -> pa.Table:
        from pyiceberg.expressions import GreaterThanOrEqual

        table = self.load()
        bound = self._literal(table, since)
        # Its types are of a plug-in.
        condition = cast("Any", GreaterThanOrEqual)(self.record.event_time, bound)
        scan = table.scan(row_filter=condition, selected_fields=self.record.fields)
        return self._records(scan.to_arrow())

    def newest(self, keys: Collection[str] = ()) -> dict[str, Sighting]:
        """
        The newest record of each key.

        The first look reads the newest files until it has seen all *keys*; later ones read the
        files that came since, keep the maximum, and go on in search of *keys* never seen.
        """
        with self._lock, self.translating("asking for the newest records"):
            table = self.load()
            snapshot = table.current_snapshot()
            if snapshot is None:
                return {}
            if self._table_uuid != table.metadata.table_uuid:
                self._forget()
                self._table_uuid = table.metadata.table_uuid
            if snapshot.snapshot_id != self._snapshot_id:
                self._look(table, snapshot.manifests(table.io), set(keys) | self._newest.keys())
                self._snapshot_id = snapshot.snapshot_id
            if missing := set(keys) - self._newest.keys():
                self._search_older(table, missing)
            return dict(self._newest)

    def close(self) -> None:
        """Forget the connection."""
        with self._lock:
            self._catalog = None
            self._io = None

    def _look(self, table: "IcebergTable", manifests: Iterable[Any], wanted: set[str]) -> None:
        """
        Read the files that were not read yet, newest first, until all *wanted* keys were seen.

        Files are told apart by path and not by sequence number, which tables of format 1 lack and
        which compaction renews.
        """
        fresh = [one for one in manifests if one.manifest_path not in self._manifests]
        entries = [entry for one in fresh for entry in one.fetch_manifest_entry(table.io)]
        files = {entry.data_file.file_path: entry.data_file for entry in entries}
        unread = [file for path, file in files.items() if path not in self._files]
        unread.sort(key=lambda file: self._upper_bound(table, file), reverse=True)
        self._older += self._read_until(table, unread, wanted)
        self._manifests.update(one.manifest_path for one in fresh)
        self._files.update(files)

    def _search_older(self, table: "IcebergTable", missing: set[str]) -> None:
        """Go on where the first look stopped, for keys never seen."""
        try:
            self._older = self._read_until(table, self._older, missing)
        except FileNotFoundError:
            # Compacted or expired meanwhile: the next look starts over.
            self._forget()

    def _read_until(
        self, table: "IcebergTable", unread: list["DataFile"], wanted: set[str]
    ) -> list["DataFile"]:
        """Read files in their order until all *wanted* keys were seen; those left over."""
        found: dict[str, Sighting] = {}
        count = _FIRST_FILES
        while unread:
            advance(found, newest_of(self._of_files(table, unread[:count])))
            unread, count = unread[count:], count * 4
            if wanted <= found.keys():
                break
        advance(self._newest, found)
        return unread

    def _forget(self) -> None:
        self._newest, self._older, self._snapshot_id = {}, [], None
        self._manifests, self._files = set(), set()

    def _of_files(self, table: "IcebergTable", files: Iterable["DataFile"]) -> pa.Table:
        from pyiceberg.expressions import AlwaysTrue
        from pyiceberg.io.pyarrow import ArrowScan
        from pyiceberg.manifest import DataFileContent
        from pyiceberg.table import FileScanTask

        schema = table.schema().select(*self.record.fields)
        tasks = [FileScanTask(one) for one in files if one.content == DataFileContent.DATA]
        if not tasks:
            return empty_records()
        scan = ArrowScan(table.metadata, table.io, schema, AlwaysTrue())
        return joined(self._records(scan.to_table([task])) for task in tasks)

    def _records(self, rows: pa.Table) -> pa.Table:
        names = self.record
        columns = (rows[names.key], rows[names.sequence.field], rows[names.event_time])
        content = [rows[name] for name in names.content]
        return records_of(*columns, prefix=names.sequence.prefix, content=content)

    def _upper_bound(self, table: "IcebergTable", file: "DataFile") -> int:
        """The file's newest event time; a file without statistics may hold the newest of all."""
        from pyiceberg.conversions import from_bytes

        column = table.schema().find_field(self.record.event_time)
        bound = (file.upper_bounds or {}).get(column.field_id)
        if bound is None:
            return _FOREVER
        return int(from_bytes(column.field_type, bound))  # type: ignore[arg-type]

    def _literal(self, table: "IcebergTable", moment: datetime) -> str:
        """A moment as the event time's column spells it: without zone it means UTC."""
        from pyiceberg.types import TimestamptzType

        column = table.schema().find_field(self.record.event_time)
        moment = moment.astimezone(UTC)
        if not isinstance(column.field_type, TimestamptzType):
            moment = moment.replace(tzinfo=None)
        return moment.isoformat()

    def load(self) -> "IcebergTable":
        """
        The table as it is now.

        The store's connection of the first look is kept while its properties (vended credentials
        among them) stay the same; a new one for each look would double the cost.
        """
        if self._catalog is None:
            self._catalog = open_catalog(self.table.catalog, self.seconds)
        table = self._catalog.load_table(self.table.name)
        if self._io is None or self._io.properties != table.io.properties:
            self._io = table.io
        table.io = self._io
        return table

    @contextmanager
    def translating(self, what: str) -> Iterator[None]:
        """Turn the exceptions of PyIceberg, requests and Arrow into ours."""
        from pyiceberg import exceptions

        tried = f"table {self.table.name}: {what}"
        try:
            yield
        except (exceptions.NoSuchTableError, exceptions.NoSuchNamespaceError) as error:
            message = f"{tried}: it is not in the catalog; has the sink ever written?"
            raise StageUnavailable(message, "missing") from error
        except (exceptions.UnauthorizedError, exceptions.ForbiddenError) as error:
            raise _refused(tried, error) from error
        except exceptions.OAuthError as error:
            raise _refused(tried, error) from error
        except (exceptions.ServerError, exceptions.ServiceUnavailableError) as error:
            message = f"{tried}: {_line(error)}"
            raise StageUnavailable(message, "server error") from error
        except OSError as error:  # requests' and Arrow's are OSErrors, too
            raise _of_io(tried, error) from error
        except (exceptions.RESTError, KeyError, TypeError, ValueError) as error:
            message = f"{tried}: {_line(error)}; check `table` and `record` in the pipeline file"
            raise StageBlind(message, "undecodable") from error


def _of_io(tried: str, error: OSError) -> StageBlind | StageUnavailable:
    said = _line(error)
    if any(word in said for word in _CREDENTIALS):
        return _refused(tried, error)
    words = ((_TIMEOUT, "timeout"), (_REFUSED, "refused"))
    reasons = (reason for some, reason in words if any(word in said for word in some))
    return StageUnavailable(f"{tried}: {said}", next(reasons, "broken"))


def _refused(tried: str, error: Exception) -> StageBlind:
    message = (
        f"{tried}: our credentials were refused ({type(error).__name__}); check table.catalog in "
        "the pipeline file and the variables that it names"
    )
    return StageBlind(message, "credentials")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
