"""
Values in the topic that are no record, and what became of them.

A value is judged by where it lies; whether it is in the table nobody can say. A pipeline that
cannot read a value has to put it into the dead-letter topic: one that the sink's group has passed,
and of which no letter tells, was dropped, which is a loss. What k2chaos wrote itself (an injection;
it bears a tag) is no fault of the source, but must not be dropped either.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from k2chaos.evidence.finding import Anomaly, Finding
from k2chaos.evidence.reading import RunEvidence
from k2chaos.judge.audit import EXAMPLES, Beside


def value_findings(beside: Beside) -> Iterator[Finding]:
    """Find values that are not valid (``schema``), and those that were dropped (``lost``)."""
    if beside.malformed is None:
        return
    rows = beside.malformed.to_pylist()
    yield from _of_values("schema", "topic", "source", [row for row in rows if row["tag"] is None])
    if beside.letters is not None and beside.committed is not None:
        dropped = [
            row
            for row in _unlettered(rows, beside.letters)
            if row["offset"] < beside.committed.get(row["partition"], 0)
        ]
        yield from _of_values("lost", "table", "sink", dropped)


def undecided(evidence: RunEvidence) -> Iterator[str]:
    """Values of which nobody can say whether they were dropped: the group's offset is unknown."""
    if evidence.malformed is None or evidence.letters is None or evidence.committed is None:
        return
    unknown = [
        row["partition"]
        for row in _unlettered(evidence.malformed.to_pylist(), evidence.letters)
        if row["partition"] not in evidence.committed
    ]
    for partition in dict.fromkeys(unknown):
        count = unknown.count(partition)
        yield (
            f"topic: whether the sink passed {count} values that are no record is not known: its "
            f"group has no offset in partition {partition}"
        )


def _unlettered(rows: Sequence[Mapping[str, Any]], letters: pa.Table) -> list[Mapping[str, Any]]:
    """Those of *rows* of which no letter tells."""
    lie_at = zip(letters["partition"].to_pylist(), letters["offset"].to_pylist(), strict=True)
    lettered = {*lie_at}
    return [row for row in rows if (row["partition"], row["offset"]) not in lettered]


def _of_values(
    anomaly: Anomaly, stage: str, at: str, rows: list[Mapping[str, Any]]
) -> Iterator[Finding]:
    if rows:
        named = ("partition", "offset", "reason")
        examples = [{name: row[name] for name in named} for row in rows[:EXAMPLES]]
        yield Finding(anomaly, stage, at, len(rows), tuple(examples))
