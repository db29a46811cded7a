"""
Which snapshots may go. Pure, but for the commit at the end.

Rules of this file:

- What a branch or a tag points at stays, and so does everything from the current snapshot back
  to the newest that carries offsets: without them the table could not be resumed.
- While no snapshot of the history carries offsets, nothing goes.
- Of the rest, what is older than the limit goes. A view of it may still be in use; its files are
  deleted later still (`sweep.py`).
"""

from __future__ import annotations

import time

from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.update import AssertRefSnapshotId, AssertTableUUID, RemoveSnapshotsUpdate

from consumer_crypto.offsets import ancestors, carried_by


def expirable(metadata: TableMetadata, before_ms: int) -> list[int]:
    """List the snapshots of *metadata* from before *before_ms* that are of no use, oldest first."""
    needed = {ref.snapshot_id for ref in metadata.refs.values()}
    for snapshot in ancestors(metadata.snapshots, metadata.current_snapshot_id):
        needed.add(snapshot.snapshot_id)
        if carried_by(snapshot) is not None:
            break
    else:
        return []
    return [
        snapshot.snapshot_id
        for snapshot in sorted(metadata.snapshots, key=lambda one: one.timestamp_ms)
        if snapshot.timestamp_ms < before_ms and snapshot.snapshot_id not in needed
    ]


def expire(table: Table, keep_seconds: float) -> int:
    """
    Expire what is older than *keep_seconds*; tell how many snapshots that were.

    The current snapshot must be the one that *table* knows, else nothing is done.

    Raises:
        CommitFailedException: Somebody committed in between.
    """
    known = table.metadata.current_snapshot_id
    now = table.catalog.load_table(table.name())
    if known is None or now.metadata.current_snapshot_id != known:
        return 0
    old = expirable(now.metadata, int((time.time() - keep_seconds) * 1000))
    if old:
        table.catalog.commit_table(
            now,
            (
                AssertTableUUID(uuid=now.metadata.table_uuid),
                AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=known),
            ),
            (RemoveSnapshotsUpdate(snapshot_ids=old),),
        )
    return len(old)
