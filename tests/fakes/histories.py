"""Histories of records, clean and spoilt, in the schema of evidence."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from k2chaos.evidence.records import RECORDS, Window

START = datetime(2026, 1, 1, tzinfo=UTC)

Row = tuple[str, int]
"""Key and sequence."""


def time_of(sequence: int) -> datetime:
    """The event time of a record: a millisecond from one to the next."""
    return START + timedelta(milliseconds=sequence)


def digest_of(key: str, sequence: int) -> int:
    """What a record's content comes to while nobody changes it."""
    return 1 + sequence * 1000 + len(key)


def table_of(rows: Iterable[Row]) -> pa.Table:
    """*rows* as a stage would show them."""
    pairs = list(rows)
    columns = {
        "key": [key for key, _ in pairs],
        "sequence": [sequence for _, sequence in pairs],
        "event_time": [time_of(sequence) for _, sequence in pairs],
        "digest": [digest_of(key, sequence) for key, sequence in pairs],
    }
    return pa.table(columns, schema=RECORDS)


def window_of(**spans: tuple[int, int]) -> Window:
    """A window with keys' (after, until)."""
    after: Mapping[str, int] = {key: after for key, (after, _) in spans.items() if after}
    return Window(after=after, until={key: until for key, (_, until) in spans.items()})


def clean(window: Window) -> list[Row]:
    """Every record of *window* once, the keys interleaved as they would be in time."""
    rows = [
        (key, sequence)
        for key, until in window.until.items()
        for sequence in range(window.after.get(key, 0) + 1, until + 1)
    ]
    return sorted(rows, key=lambda row: (row[1], row[0]))
