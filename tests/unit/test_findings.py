"""From the evidence of a run to what is wrong with its data."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from k2chaos.evidence.ledger import LedgerReading
from k2chaos.evidence.reading import RunEvidence
from k2chaos.evidence.records import MALFORMED
from k2chaos.evidence.samples import Sample
from k2chaos.judge.findings import findings_of
from tests.fakes.histories import clean, table_of, window_of
from tests.fakes.observed import START, at
from tests.fakes.observed import table_of as samples_of

WINDOW = window_of(BTC=(0, 100))
ALL = clean(WINDOW)
LONG = range(60)


def evidence(*samples: Sample, lost: int = 0, **parts: Any) -> RunEvidence:
    """A run without a flaw, but for the record *lost* at the table; *parts* replace its parts."""
    services = {"sink": ["consumer-crypto"], "api": "k2-query-api"}
    whole = RunEvidence(
        run={"pipeline": {"services": services, "budgets": {"freshness_seconds": 30}}},
        journal={},
        events=(),
        ledger=LedgerReading((), ()),
        window=WINDOW,
        records={
            "topic": table_of(ALL),
            "table": table_of(row for row in ALL if row != ("BTC", lost)),
        },
        damage=(),
        samples=samples_of(samples) if samples else None,
    )
    return replace(whole, **parts)


def fault(kind: str, role: str, began: float, healed: float) -> dict[str, Any]:
    moments = {
        "injected_at": at(began).isoformat(),
        "healed_at": at(healed).isoformat(),
    }
    return {"event": "fault", "kind": kind, "role": role, "at": at(healed).isoformat(), **moments}


def told(run: RunEvidence) -> list[tuple[str, bool]]:
    return [(one.anomaly, one.before_fault) for one in findings_of(run)]


def test_a_run_without_a_flaw_has_no_findings() -> None:
    assert [] == told(evidence())


@pytest.mark.parametrize("missing", [{"window": None}, {"records": {}}])
def test_of_records_nothing_is_said_where_nobody_knows_what_ought_to_be_there(
    missing: dict[str, Any],
) -> None:
    assert [] == told(evidence(lost=50, **missing))


def test_values_that_are_no_record_are_judged_with_the_records() -> None:
    row = {"partition": 0, "offset": 1, "reason": "x", "tag": None}
    malformed = pa.Table.from_pylist([row], schema=MALFORMED)

    assert [("schema", False)] == told(evidence(malformed=malformed))


@pytest.mark.parametrize(
    "lost, found", [(49, [("lost", True)]), (51, [("lost", False)]), (99, [("lost", False)])]
)
def test_what_the_table_had_passed_when_the_fault_struck_is_not_blamed_on_it(
    lost: int, found: list[tuple[str, bool]]
) -> None:
    shown = [Sample(at(one), "table", "newest_id", one * 5.0, "BTC") for one in range(21)]
    struck = (fault("kill", "sink", 10.1, 15.0),)

    assert found == told(evidence(*shown, lost=lost, events=struck))


def test_what_the_table_had_shown_when_the_fault_struck_was_taken_away_by_it() -> None:
    shown = [Sample(at(one), "table", "newest_id", one * 5.0, "BTC") for one in range(21)]
    struck = (fault("kill", "sink", 10.1, 15.0),)
    gone = {("BTC", number) for number in (44, 46, 47, 48, 49, 50)}
    rows = {"topic": table_of(ALL), "table": table_of(row for row in ALL if row not in gone)}

    before, since = findings_of(evidence(*shown, records=rows, events=struck))

    assert (True, 1, False, 5) == (
        before.before_fault,
        before.count,
        since.before_fault,
        since.count,
    )


def test_without_samples_everything_is_the_faults() -> None:
    struck = (fault("kill", "sink", 10.1, 15.0),)

    assert [("lost", False)] == told(evidence(lost=5, events=struck))


def lying_sink() -> list[Sample]:
    """Healthy, says the engine, while the table is far over its budget."""
    return [
        sample
        for one in LONG
        for sample in (
            Sample(at(one), "topic", "freshness_seconds", 1.0),
            Sample(at(one), "table", "freshness_seconds", 45.0),
            Sample(at(one), "engine", "healthy", 1.0, "consumer-crypto-1"),
            Sample(at(one), "engine", "healthy", 1.0, "somebody-else-1"),
        )
    ]


def test_a_container_speaks_for_the_role_that_its_service_plays() -> None:
    assert [("misreported", False)] == told(evidence(*lying_sink()))


def test_a_container_that_plays_no_role_speaks_for_nobody() -> None:
    run = {"pipeline": {"services": {"sink": "other"}, "budgets": {}}}

    assert [] == told(evidence(*lying_sink(), run=run))


@pytest.mark.parametrize(
    "event, blamed",
    [
        (fault("pause", "sink", 0, 40), []),
        (fault("pause", "source", 0, 40), ["misreported"]),
        (fault("partition", "sink", 0, 40), ["misreported"]),
        ({**fault("pause", "sink", 0, 40), "healed_at": None}, ["misreported"]),
    ],
    ids=["frozen", "another role", "cut off", "never healed"],
)
def test_who_is_kept_from_speaking_is_excused(event: dict[str, Any], blamed: list[str]) -> None:
    run = evidence(*lying_sink(), events=(event,))

    assert blamed == [anomaly for anomaly, _ in told(run)]


def test_the_budget_of_serving_is_that_of_the_pipeline_file() -> None:
    samples = [
        Sample(START, "table", "newest_id", 50.0, "BTC"),
        Sample(START + timedelta(seconds=15), "api", "newest_id", 40.0, "BTC"),
    ]
    patient = {"pipeline": {"budgets": {"freshness_seconds": 30, "serving_seconds": 20}}}

    assert [("stale", False)] == told(evidence(*samples))
    assert [] == told(evidence(*samples, run=patient))


@pytest.mark.parametrize(
    "events, before",
    [((fault("kill", "api", 10.0, 15.0),), True), ((fault("kill", "api", 5.0, 15.0),), False)],
)
def test_an_answer_that_went_back_before_the_fault_struck_is_not_blamed_on_it(
    events: tuple[dict[str, Any], ...], *, before: bool
) -> None:
    shown = {4: 40.0, 6: 39.0}
    samples = [Sample(at(one), "api", "newest_id", last, "BTC") for one, last in shown.items()]

    assert [("backwards", before)] == told(evidence(*samples, events=events))
