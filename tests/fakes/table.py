"""
A table behind a REST catalog, its files in a directory.

The catalog is a small server that speaks Iceberg's REST protocol as far as reading and appending
go, on top of PyIceberg's own metadata; so what is written and read are real Iceberg files.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.table import CommitTableRequest
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.table.update import update_table_metadata
from pyiceberg.types import LongType, NestedField, StringType, TimestampType

from k2chaos.pipeline import Table
from tests.fakes.servers import Answer, FakeServer, Request, serving
from tests.fakes.topic import time_of

NAME = "market_data.trades"

SCHEMA = Schema(
    NestedField(1, "message_id", StringType()),
    NestedField(2, "trade_id", StringType()),
    NestedField(3, "symbol", StringType()),
    NestedField(4, "timestamp", TimestampType()),
    NestedField(5, "source_sequence", LongType()),
)


def rows_of(symbol: str, *sequences: int, prefix: str = "BINANCE-") -> list[dict[str, Any]]:
    """Trades as the sink writes them: the timestamp has no zone and means UTC."""
    return [
        {
            "message_id": f"{symbol}/{sequence}",
            "trade_id": f"{prefix}{sequence}",
            "symbol": symbol,
            "timestamp": _naive(time_of(sequence)),
            "source_sequence": sequence,
        }
        for sequence in sequences
    ]


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


class FakeTable:
    """
    One table.

    Attributes:
        table: What the pipeline file would say of it.
        server: The catalog.
    """

    def __init__(self, directory: Path) -> None:
        """A table without a snapshot."""
        self.directory = directory
        self.server: FakeServer
        self.metadata: TableMetadata
        self.recreate()

    def recreate(self, **properties: str) -> None:
        """Make the table anew: another table under the same name."""
        self.metadata = new_table_metadata(
            SCHEMA,
            UNPARTITIONED_PARTITION_SPEC,
            UNSORTED_SORT_ORDER,
            f"file://{self.directory}",
            {"format-version": "2", **properties},
        )

    @property
    def table(self) -> Table:
        """What the pipeline file would say of it."""
        return Table(NAME, {"type": "rest", "uri": self.server.url})

    def append(self, *rows: list[dict[str, Any]]) -> None:
        """Commit one batch."""
        catalog = RestCatalog("writer", uri=self.server.url)
        batch = [row for part in rows for row in part]
        table = catalog.load_table(NAME)
        table.append(pa.Table.from_pylist(batch, schema=table.schema().as_arrow()))

    def compact(self) -> None:
        """Rewrite all rows into one file, as maintenance does, and delete the old files."""
        table = RestCatalog("writer", uri=self.server.url).load_table(NAME)
        old = [
            Path(task.file.file_path.removeprefix("file://")) for task in table.scan().plan_files()
        ]
        table.overwrite(table.scan().to_arrow())
        for path in old:
            path.unlink()

    def answer(self, request: Request) -> Answer:
        """The catalog's part of the protocol."""
        if request.path == "/v1/config":
            return 200, {"defaults": {}, "overrides": {}}
        if request.path != "/v1/namespaces/market_data/tables/trades":
            error = {"message": "no such table", "type": "NoSuchTableException", "code": 404}
            return 404, {"error": error}
        if request.method == "POST":
            commit = CommitTableRequest.model_validate_json(request.body)
            self.metadata = update_table_metadata(self.metadata, commit.updates)
        return 200, {
            "metadata-location": f"file://{self.directory}/metadata.json",
            "metadata": json.loads(self.metadata.model_dump_json()),
            "config": {},
        }


@contextmanager
def fake_table(directory: Path) -> Iterator[FakeTable]:
    """An empty table until the block ends."""
    fake = FakeTable(directory)
    with serving(fake.answer) as server:
        fake.server = server
        yield fake
