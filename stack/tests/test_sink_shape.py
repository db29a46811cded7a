"""Tables that others changed: what is written to, what is refused, and what a person is told."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import EqualTo
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DoubleType, NestedField, StringType
from sink_catalog import Lake
from test_sink_table import NAME, OWNED, opened, rows, sequences, step

from consumer_crypto import trade
from consumer_crypto.files import write
from consumer_crypto.shape import MisfitError
from consumer_crypto.table import TradesTable


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def change_of_others(lake: Lake, put_in: pa.Table, *, keep: bool = False) -> None:
    """Take out all files, unless told to *keep* them, and put rows in: without our offsets."""
    table = lake.load_table(NAME)
    old = [] if keep else [task.file for task in table.scan().plan_files()]
    with (
        table.transaction() as transaction,
        transaction.update_snapshot().overwrite() as change,
    ):
        for file in old:
            change.delete_data_file(file)
        for file in write(table, put_in):
            change.append_data_file(file)


def made(lake: Lake, *fields: NestedField, spec: PartitionSpec = trade.PARTITIONING) -> None:
    lake.create_table(NAME, schema=Schema(*fields), partition_spec=spec, properties={})


def changed(column: str, **changes: object) -> list[NestedField]:
    return [
        field.model_copy(update=changes) if field.name == column else field
        for field in trade.TABLE.fields
    ]


@pytest.mark.parametrize(
    "fields, said",
    [
        (changed("price", field_type=DoubleType()), r"price is double, not decimal\(18, 8\)"),
        (changed("vendor_data", name="vendor"), "vendor_data is missing"),
        (changed("vendor_data", required=True), "vendor_data may not be empty"),
        (
            [*trade.TABLE.fields, NestedField(99, "venue", StringType(), required=True)],
            "venue may not be empty",
        ),
    ],
)
def test_a_table_that_cannot_take_our_rows_is_refused_and_says_why(
    lake: Lake, fields: list[NestedField], said: str
) -> None:
    made(lake, *fields)
    with pytest.raises(MisfitError, match=said):
        opened(lake)


def test_a_table_with_other_partitions_is_refused(lake: Lake) -> None:
    spec = PartitionSpec(
        PartitionField(source_id=3, field_id=1000, transform=IdentityTransform(), name="symbol")
    )
    made(lake, *trade.TABLE.fields, spec=spec)
    with pytest.raises(MisfitError, match="its partitions are"):
        opened(lake)


def test_a_table_that_was_mended_is_taken_without_a_restart(lake: Lake) -> None:
    made(lake, *changed("price", field_type=DoubleType()))
    table = TradesTable(lambda: lake, NAME, "topic")
    with pytest.raises(MisfitError):
        table.resume()
    lake.metadata = None
    assert table.resume() == {}
    table.append(step("a", 0), OWNED)
    assert sequences(lake) == [0]


def test_a_column_that_others_added_stays_empty(lake: Lake) -> None:
    table = opened(lake)
    table.append(step("a", 0), OWNED)
    with lake.load_table(NAME).update_schema() as change:
        change.add_column("venue", StringType())
    for one in (step("b", 1), step("c", 2)):
        table.append(one, OWNED)
    later = opened(lake)
    later.append(step("d", 3), OWNED)
    assert sequences(lake) == [0, 1, 2, 3]
    assert lake.load_table(NAME).scan().to_arrow()["venue"].null_count == 4


def test_rows_of_others_stay_and_hide_none_of_ours(lake: Lake) -> None:
    table = opened(lake)
    table.append(step("a", 0), OWNED)
    at = trade.ARROW.get_field_index("source_sequence")
    theirs = rows(1000, 1001).set_column(at, trade.ARROW.field(at), pa.nulls(2, pa.int64()))
    change_of_others(lake, theirs, keep=True)
    one = step("b", 1)
    with pytest.raises(CommitFailedException):
        table.append(one, OWNED)
    table.append(one, OWNED)
    assert lake.load_table(NAME).scan(EqualTo("trade_id", "BINANCE-1000")).to_arrow().num_rows == 1
    ours = lake.load_table(NAME).scan().to_arrow()["source_sequence"].drop_null().to_pylist()
    assert sorted(ours) == [0, 1]
    assert TradesTable(lambda: lake, NAME, "topic").resume() == {0: 2}


@pytest.mark.parametrize("kind", ["delete", "overwrite"])
def test_rows_that_others_take_out_are_not_written_again(lake: Lake, kind: str) -> None:
    table = opened(lake)
    table.append(step("a", 0, 1), OWNED)
    change_of_others(lake, rows(1) if kind == "overwrite" else rows())
    one = step("b", 2)
    with pytest.raises(CommitFailedException):
        table.append(one, OWNED)
    table.append(one, OWNED)
    assert sequences(lake) == ([1, 2] if kind == "overwrite" else [2])
    assert TradesTable(lambda: lake, NAME, "topic").resume() == {0: 3}
