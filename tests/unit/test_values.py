"""Values that are no record: the source's fault, or dropped by the sink, or rightly put away."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from k2chaos.evidence.ledger import LedgerReading
from k2chaos.evidence.reading import RunEvidence
from k2chaos.evidence.records import LETTERS, MALFORMED
from k2chaos.judge.audit import Beside
from k2chaos.judge.values import undecided, value_findings


def malformed(*rows: tuple[int, str | None]) -> pa.Table:
    """Values in partition 0: offset and tag."""
    entries = [
        {"partition": 0, "offset": offset, "reason": "magic byte 1", "tag": tag}
        for offset, tag in rows
    ]
    return pa.Table.from_pylist(entries, schema=MALFORMED)


def letters(*offsets: int) -> pa.Table:
    rows: list[dict[str, Any]] = [{"partition": 0, "offset": offset} for offset in offsets]
    return pa.Table.from_pylist(rows, schema=LETTERS)


def told(beside: Beside) -> list[tuple[str, str, int]]:
    return [(one.anomaly, one.at, one.count) for one in value_findings(beside)]


def test_where_nobody_looked_nothing_is_said() -> None:
    assert [] == told(Beside())


def test_a_value_of_the_source_that_is_not_valid_breaks_the_schema() -> None:
    beside = Beside(malformed=malformed((5, None)), letters=letters(5), committed={0: 9})

    (finding,) = value_findings(beside)

    assert ("schema", "topic", "source") == (finding.anomaly, finding.stage, finding.at)
    assert ({"partition": 0, "offset": 5, "reason": "magic byte 1"},) == finding.examples


def test_a_poison_of_ours_that_was_put_away_is_as_it_should_be() -> None:
    beside = Beside(malformed=malformed((5, "abc")), letters=letters(5), committed={0: 9})

    assert [] == told(beside)


def test_a_poison_of_ours_that_was_dropped_is_lost() -> None:
    beside = Beside(
        malformed=malformed((5, "abc"), (6, "abc")), letters=letters(6), committed={0: 9}
    )

    assert [("lost", "sink", 1)] == told(beside)


@pytest.mark.parametrize(
    "beside",
    [
        Beside(malformed=malformed((5, "abc")), letters=letters(), committed={0: 5}),
        Beside(malformed=malformed((5, "abc")), letters=letters(), committed={}),
        Beside(malformed=malformed((5, "abc")), letters=letters()),
        Beside(malformed=malformed((5, "abc")), committed={0: 9}),
    ],
    ids=["not read yet", "never committed", "offsets unknown", "letters unknown"],
)
def test_what_may_still_be_put_away_is_not_lost(beside: Beside) -> None:
    assert [] == told(beside)


def test_what_a_group_without_an_offset_did_with_a_value_is_not_known() -> None:
    run = RunEvidence({}, {}, (), LedgerReading((), ()), None, {}, ())
    run = replace(run, malformed=malformed((5, "abc"), (6, "abc"), (7, "abc")), letters=letters(7))

    (told,) = undecided(replace(run, committed={}))

    assert "whether the sink passed 2 values that are no record is not known" in told
    assert [] == [*undecided(replace(run, committed={0: 9}))]
    assert [] == [*undecided(run)]
