"""Data files: a batch's rows written as files of the table, ordered as readers want them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.io.pyarrow import write_file
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import Table, WriteTask

from consumer_crypto.shape import fitted

_DAY_MICROS: Final = 86_400_000_000


class Step:
    """One batch on its way into the table; the same object for every try."""

    def __init__(self, batch: str, rows: pa.Table, ends: Mapping[int, int]) -> None:
        """Write *rows*; *ends* says, per partition, which offset comes after them."""
        self.batch = batch
        self.rows = rows
        self.ends = ends
        self._files: list[DataFile] | None = None
        self._written_at = 0.0

    def files(self, table: Table, fresh_seconds: float) -> list[DataFile]:
        """
        Write the data files, once: they are referenced by whichever try gets through.

        After *fresh_seconds* they are written anew, for nobody may delete files still to be used.
        """
        now = time.monotonic()
        if self._files is None or now - self._written_at > fresh_seconds:
            self._files = list(write(table, self.rows))
            self._written_at = now
        return self._files


def write(table: Table, rows: pa.Table) -> Iterator[DataFile]:
    """Write *rows* as one file per day, ordered as readers want them."""
    if not rows.num_rows:
        return
    write_id = uuid.uuid4()
    spec, schema = table.metadata.spec(), table.metadata.schema()
    rows = fitted(rows, schema).sort_by([("timestamp", "ascending"), ("symbol", "ascending")])
    days = pc.floor_temporal(rows["timestamp"], unit="day")
    for number, day in enumerate(pc.unique(days)):
        value = PartitionFieldValue(field=spec.fields[0], value=day.value // _DAY_MICROS)
        task = WriteTask(
            write_uuid=write_id,
            task_id=number,
            schema=schema,
            record_batches=rows.filter(pc.equal(days, day)).to_batches(),
            partition_key=PartitionKey(field_values=[value], partition_spec=spec, schema=schema),
        )
        yield from write_file(table.io, table.metadata, iter([task]))
