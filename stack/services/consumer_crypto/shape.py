"""
Whether a table can take our rows, and rows made to fit it.

A table that others changed may have more columns than ours, as long as they may be empty. Anything
else (a column gone, or of another type; other partitions) is nothing we can mend, and nothing that
is lost by waiting until somebody does.
"""

from __future__ import annotations

import pyarrow as pa
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from consumer_crypto import trade


class MisfitError(Exception):
    """The table cannot take our rows as it is; nothing was written."""


def check(table: Table) -> None:
    """
    Refuse a table that cannot take our rows.

    Raises:
        MisfitError: Says which column, and why.
    """
    schema, name = table.schema(), ".".join(table.name())
    troubles = _columns(schema) + _partitions(table.spec(), schema)
    if troubles:
        message = f"{name} is not shaped as ours is: {'; '.join(troubles)}"
        raise MisfitError(message)


def _columns(schema: Schema) -> list[str]:
    theirs = {field.name: field for field in schema.fields}
    troubles = []
    for ours in trade.TABLE.fields:
        field = theirs.pop(ours.name, None)
        if field is None:
            troubles.append(f"{ours.name} is missing")
        elif field.field_type != ours.field_type:
            troubles.append(f"{ours.name} is {field.field_type}, not {ours.field_type}")
        elif field.required and not ours.required:
            troubles.append(f"{ours.name} may not be empty")
    troubles += [f"{one.name} may not be empty" for one in theirs.values() if one.required]
    return troubles


def _partitions(spec: PartitionSpec, schema: Schema) -> list[str]:
    fields = [(schema.find_column_name(one.source_id), str(one.transform)) for one in spec.fields]
    return [] if fields == [("timestamp", "day")] else [f"its partitions are {spec}"]


def fitted(rows: pa.Table, schema: Schema) -> pa.Table:
    """Give *rows* the columns of *schema* that they lack, empty."""
    for field in schema.as_arrow():
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(schema.column_names)
