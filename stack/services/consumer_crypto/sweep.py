"""
Deleting the files that no snapshot refers to: the replaced, the expired, those of killed attempts.

Rules of this file, each enough against another way to delete a file that somebody needs:

- Files are listed first and the table is loaded then: what was committed meanwhile is seen.
- A file goes when it was found unused again and again for the whole grace: what was not committed
  yet may still be (see 8. in `table.py`), and somebody may be reading what was replaced.
- If anything that a snapshot refers to cannot be read, nothing is deleted. Nor from a table
  without snapshots, which may be one that somebody is about to restore.
- Only data files and manifests below the table's own location. Old metadata files are deleted by
  the catalog.

It commits nothing, so it has a thread of its own and no batch waits for it. What it saw is
forgotten when the process ends; the grace then begins anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from pyarrow.fs import FileSelector, FileType
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from consumer_crypto import metrics

_log = logging.getLogger(__name__)

_OURS: Final = (("data", ".parquet"), ("metadata", ".avro"))
_AT_ONCE: Final = 500


class Sweeper:
    """Owns the thread, and knows since when which file was unused."""

    def __init__(
        self,
        load: Callable[[], Table],
        grace_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Sweep the table that *load* loads."""
        self._load = load
        self._grace = grace_seconds
        self._clock = clock
        self._unused_since: dict[str, float] = {}
        self._manifests: dict[str, frozenset[str]] = {}

    def start(self, seconds: float) -> None:
        """Sweep for ever, with pauses of so many *seconds*, from a thread of its own."""
        threading.Thread(target=self._run, args=(seconds,), name="sweeper", daemon=True).start()

    def _run(self, seconds: float) -> None:
        while True:
            time.sleep(seconds)
            try:
                self.sweep()
            except Exception as error:  # noqa: BLE001 - nothing was deleted that is in use; later again
                metrics.UPKEEP_FAILURES.labels("sweep").inc()
                _log.warning("upkeep, sweep: %s: %s", type(error).__name__, error)

    def sweep(self) -> int:
        """
        Look at all files once; tell how many were deleted.

        Raises:
            Exception: Whatever the catalog or the store made of it.
        """
        started = time.monotonic()
        found = _listed(self._load())
        table = self._load()
        if table.current_snapshot() is None:
            return 0
        used, now = self._used(table), self._clock()
        unused = found - used
        self._unused_since = {path: self._unused_since.get(path, now) for path in unused}
        old = [path for path, since in self._unused_since.items() if now - since >= self._grace]
        deleted = _delete(table, old[:_AT_ONCE])
        metrics.FILES_STORED.set(len(found) - deleted)
        metrics.FILES_DELETED.inc(deleted)
        if deleted:
            took = time.monotonic() - started
            _log.info("deleted %d unused files, %d wait, %.2f s", deleted, len(unused), took)
        return deleted

    def _used(self, table: Table) -> set[str]:
        known: dict[str, frozenset[str]] = {}
        used: set[str] = set()
        for snapshot in table.metadata.snapshots:
            used.add(_bare(snapshot.manifest_list))
            self._add(snapshot, table, known)
        self._manifests = known
        return used.union(known, *known.values())

    def _add(self, snapshot: Snapshot, table: Table, known: dict[str, frozenset[str]]) -> None:
        for manifest in snapshot.manifests(table.io):
            path = _bare(manifest.manifest_path)
            if path in known:
                continue
            files = self._manifests.get(path)
            if files is None:
                entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
                files = frozenset(_bare(entry.data_file.file_path) for entry in entries)
            known[path] = files


def _bare(location: str) -> str:
    """Strip the scheme: one writer's ``s3`` is another's ``s3a``."""
    return PyArrowFileIO.parse_location(location)[2]


def _listed(table: Table) -> set[str]:
    """List the files that could be swept."""
    scheme, netloc, path = PyArrowFileIO.parse_location(table.location())
    io = table.io
    if not isinstance(io, PyArrowFileIO):
        return set()
    system = io.fs_by_scheme(scheme, netloc)
    return {
        one.path
        for folder, ending in _OURS
        for one in system.get_file_info(
            FileSelector(f"{path}/{folder}", recursive=True, allow_not_found=True)
        )
        if one.type == FileType.File and one.path.endswith(ending)
    }


def _delete(table: Table, paths: Iterable[str]) -> int:
    prefix, count = table.location(), 0
    root = _bare(prefix)
    for path in paths:
        try:
            table.io.delete(prefix + path.removeprefix(root))
        except FileNotFoundError:
            continue
        count += 1
    return count
