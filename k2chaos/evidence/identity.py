"""
How a pipeline writes a record's identity, and how the columns of evidence are made of it.

A stage shows a record's number as a field with a prefix (``BINANCE-42``). Rows whose field does
not begin with the prefix belong to another feed in the same place and are left out; so are rows
whose number is none, for they are no record that was emitted: the audit then misses it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from k2chaos.evidence.digest import digests
from k2chaos.evidence.records import RECORDS

_LONGEST: Final = 18
"""Digits of a number, which always fit into 64 bits."""


def records_of(
    keys: Any, fields: Any, times: Any, prefix: str, content: Sequence[Any] = (), **beside: Any
) -> pa.Table:
    """
    Lay columns (arrays or sequences of Python values) into the schema `RECORDS`.

    Args:
        keys: The records' keys.
        fields: The sequence fields as the stage shows them: text, or integers without a prefix.
        times: Event times: timestamps with or without zone (then UTC), or microseconds.
        prefix: What stands before the number.
        content: The columns that the digest is made of; none, where content is not compared.
        beside: Further columns of whole numbers, kept behind the others.
    """
    moments = _times(times)
    columns = pa.table(
        {
            "key": _text(keys),
            "field": _text(fields),
            "event_time": moments,
            "digest": digests(pc.fill_null(moments, 0), content),
            **{name: pa.array(column, pa.int64()) for name, column in beside.items()},
        }
    )
    ours = pc.match_substring_regex(columns["field"], rf"^{_quote(prefix)}[0-9]{{1,{_LONGEST}}}$")
    columns = columns.filter(pc.and_(ours, pc.is_valid(columns["key"])))
    columns = columns.filter(pc.is_valid(columns["event_time"]))
    numbers = pc.utf8_slice_codeunits(columns["field"], start=len(prefix))
    arrays = [columns["key"], numbers.cast(pa.int64()), columns["event_time"], columns["digest"]]
    records = pa.Table.from_arrays(arrays, schema=RECORDS)
    for name in beside:
        records = records.append_column(name, columns[name])
    return records


def number_of(field: Any, prefix: str) -> int | None:
    """The number that one sequence field holds, read as `records_of` reads columns of them."""
    text = str(field)
    digits = text[len(prefix) :]
    if not (text.startswith(prefix) and digits.isascii() and digits.isdecimal()):
        return None
    return int(digits) if len(digits) <= _LONGEST else None


def empty_records() -> pa.Table:
    """No record at all."""
    return RECORDS.empty_table()


def joined(parts: Iterable[pa.Table]) -> pa.Table:
    """Several sightings, one after the other."""
    return pa.concat_tables([empty_records(), *parts])


def _quote(prefix: str) -> str:
    r"""RE2 understands ``\Q...\E``; a prefix cannot hold ``\E`` and mean anything by it."""
    return rf"\Q{prefix}\E" if prefix else ""


def _text(column: Any) -> Any:
    array = column if isinstance(column, pa.Array | pa.ChunkedArray) else pa.array(column)
    return array.cast(pa.string())


def _times(column: Any) -> Any:
    if not isinstance(column, pa.Array | pa.ChunkedArray):
        column = pa.array(column)
    if pa.types.is_null(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    if column.type.tz is None:
        return column.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    return column.cast(pa.timestamp("us", tz="UTC"))
