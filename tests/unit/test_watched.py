"""What the samples of a run accuse the pipeline of, and what they do not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from k2chaos.evidence.finding import Finding
from k2chaos.evidence.samples import SAMPLES, Sample
from k2chaos.judge.series import Samples
from k2chaos.judge.watched import FOR_GOOD_SECONDS, PATIENCE_SECONDS, Watched, watched_findings
from tests.fakes.histories import table_of, window_of

BEGAN = 1_767_225_600.0
WINDOW = window_of(BTC=(0, 100))
Row = tuple[float, str, str, float | None, str | None, str | None]


def sample(
    at: float,
    stage: str,
    quantity: str,
    value: float | None,
    key: str | None = None,
    note: str | None = None,
) -> Sample:
    return Sample(datetime.fromtimestamp(BEGAN + at, UTC), stage, quantity, value, key, note)


def shows(stage: str, key: str, ids: Mapping[float, int]) -> list[Sample]:
    """The newest id of a key at a stage, by second."""
    return [sample(at, stage, "newest_id", float(one), key) for at, one in ids.items()]


def ages(stage: str, seconds: Iterable[int], age: float) -> list[Sample]:
    return [sample(at, stage, "freshness_seconds", age) for at in seconds]


def health(container: str, seconds: Iterable[int], value: float) -> list[Sample]:
    return [sample(at, "engine", "healthy", value, container) for at in seconds]


def watched(*parts: Sequence[Sample], **changes: object) -> Watched:
    rows = [row for part in parts for row in part]
    columns = {name: [getattr(row, name) for row in rows] for name in SAMPLES.names}
    known = Watched(
        samples=Samples(pa.table(columns, schema=SAMPLES)),
        window=WINDOW,
        table=table_of([("BTC", one) for one in range(1, 101)]),
        freshness_seconds=30.0,
        serving_seconds=10.0,
        containers={"source": ["binance-stream-1"], "sink": ["sink-1"], "api": ["api-1"]},
        disturbed={},
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def found(judged: Watched) -> list[Finding]:
    return list(watched_findings(judged))


def names(judged: Watched) -> list[str]:
    return [one.anomaly for one in found(judged)]


def test_nothing_sampled_accuses_nobody() -> None:
    assert [] == names(watched())


def test_an_answer_without_what_the_table_has_long_shown_is_stale() -> None:
    judged = watched(shows("table", "BTC", {0: 50, 5: 60}), shows("api", "BTC", {9: 40, 11: 40}))

    (finding,) = found(judged)

    assert ("stale", "api", "serving", 1) == (
        finding.anomaly,
        finding.stage,
        finding.at,
        finding.count,
    )
    (example,) = finding.examples
    seen_at = datetime.fromtimestamp(BEGAN + 11, UTC).isoformat()
    assert {"key": "BTC", "sequence": 40, "table": 50, "seen_at": seen_at} == example


@pytest.mark.parametrize(
    "answers",
    [{5: 40, 10: 50}, {30: 60}, {}],
    ids=["within the budget", "up to date", "no answer"],
)
def test_an_answer_in_time_and_no_answer_at_all_are_not_stale(answers: dict[float, int]) -> None:
    judged = watched(shows("table", "BTC", {0: 50, 5: 60}), shows("api", "BTC", answers))

    assert [] == names(judged)


def test_a_key_that_the_table_never_showed_makes_no_answer_stale() -> None:
    assert [] == names(watched(shows("api", "ETH", {5: 1, 50: 1})))


def test_an_answer_that_calls_itself_degraded_is_not_called_stale() -> None:
    degraded = [sample(20, "api", "attempt_seconds", 0.1, note="degraded")]
    judged = watched(shows("table", "BTC", {0: 50}), shows("api", "BTC", {20: 40}), degraded)

    assert [] == names(judged)


def test_an_answer_older_than_the_one_before_goes_backwards() -> None:
    judged = watched(shows("api", "BTC", {1: 50, 2: 49, 3: 51, 4: 51, 5: 20}))

    (finding,) = found(judged)

    assert ("backwards", 2) == (finding.anomaly, finding.count)
    assert (49, 50) == (finding.examples[0]["sequence"], finding.examples[0]["was"])


def test_what_was_answered_before_the_first_fault_is_told_apart() -> None:
    judged = watched(shows("api", "BTC", {1: 50, 2: 49, 3: 51, 4: 40, 5: 20}), struck=BEGAN + 4)

    assert [(True, 1), (False, 2)] == [(one.before_fault, one.count) for one in found(judged)]


@pytest.mark.parametrize("struck, before", [(PATIENCE_SECONDS + 1, True), (10, False)])
def test_health_that_had_been_false_for_too_long_when_the_fault_struck_is_not_its_doing(
    struck: float, *, before: bool
) -> None:
    judged = watched(
        ages("table", range(60), 31.0), health("sink-1", range(60), 1.0), struck=BEGAN + struck
    )

    assert [("misreported", before)] == [(one.anomaly, one.before_fault) for one in found(judged)]


def test_a_hole_where_the_table_has_a_record_is_a_torn_answer() -> None:
    holes = [sample(3, "api", "missing_id", 42.0, "BTC"), sample(4, "api", "missing_id", 42, "BTC")]

    (finding,) = found(watched(holes))

    assert ("torn", "serving", 2) == (finding.anomaly, finding.at, finding.count)
    assert 42 == finding.examples[0]["sequence"]


def test_a_hole_that_the_table_has_too_is_not_torn() -> None:
    holes = [sample(3, "api", "missing_id", 42.0, "BTC")]
    lacking = table_of([("BTC", one) for one in range(1, 101) if one != 42])

    assert [] == names(watched(holes, table=lacking))


def test_a_hole_outside_the_window_says_nothing() -> None:
    assert [] == names(watched([sample(3, "api", "missing_id", 200.0, "BTC")]))


@pytest.mark.parametrize("unknown", ["table", "window"])
def test_a_hole_says_nothing_where_nobody_read_the_table(unknown: str) -> None:
    holes = [sample(3, "api", "missing_id", 42.0, "BTC")]

    assert [] == names(watched(holes, **{unknown: None}))


LONG = range(int(PATIENCE_SECONDS) + 5)


def test_a_sink_that_calls_itself_healthy_while_the_table_is_over_budget_misreports() -> None:
    judged = watched(
        ages("topic", LONG, 1.0), ages("table", LONG, 45.0), health("sink-1", LONG, 1.0)
    )

    (finding,) = found(judged)

    assert ("misreported", "table", "sink", 1) == (
        finding.anomaly,
        finding.stage,
        finding.at,
        finding.count,
    )
    assert "healthy" == finding.examples[0]["said"]


@pytest.mark.parametrize("short", [range(int(PATIENCE_SECONDS))])
def test_health_checks_are_given_time(short: range) -> None:
    judged = watched(
        ages("topic", short, 1.0), ages("table", short, 45.0), health("sink-1", short, 1.0)
    )

    assert [] == names(judged)


def test_a_sink_is_not_blamed_for_what_the_source_does_not_bring() -> None:
    judged = watched(
        ages("topic", LONG, 45.0), ages("table", LONG, 45.0), health("sink-1", LONG, 1.0)
    )

    assert [] == names(judged)


def test_nobody_is_blamed_while_the_last_stage_is_fresh() -> None:
    """Then data flow: the table was not looked at, or in vain."""
    judged = watched(
        ages("topic", LONG, 1.0),
        ages("table", LONG, 45.0),
        ages("api", LONG, 5.0),
        health("sink-1", LONG, 1.0),
    )

    assert [] == names(judged)


def test_a_service_that_we_keep_from_speaking_is_not_blamed() -> None:
    judged = watched(
        ages("topic", LONG, 1.0),
        ages("table", LONG, 45.0),
        health("sink-1", LONG, 1.0),
        disturbed={"sink": [(BEGAN, BEGAN + 100)]},
    )

    assert [] == names(judged)


def test_a_service_that_says_that_it_is_unhealthy_is_honest() -> None:
    judged = watched(
        ages("topic", LONG, 1.0), ages("table", LONG, 45.0), health("sink-1", LONG, 0.0)
    )

    assert [] == names(judged)


def test_the_api_answers_for_what_it_says_of_itself() -> None:
    status = [sample(at, "api", "status", 1.0, note="healthy") for at in LONG]
    judged = watched(ages("table", LONG, 1.0), ages("api", LONG, 45.0), status)

    assert [("misreported", "api")] == [(one.anomaly, one.at) for one in found(judged)]


def test_an_api_that_calls_itself_degraded_is_honest_though_the_engine_calls_it_healthy() -> None:
    word = [sample(at, "api", "status", 0.0, note="degraded") for at in LONG]
    stale = (ages("table", LONG, 1.0), ages("api", LONG, 45.0), health("api-1", LONG, 1.0))

    assert [] == names(watched(*stale, word))
    assert ["misreported"] == names(watched(*stale))


def test_an_api_that_never_says_how_it_is_does_not_speak_for_itself() -> None:
    refused = [sample(at, "api", "status", None, note="status 404") for at in LONG]
    stale = (ages("table", LONG, 1.0), ages("api", LONG, 45.0), health("api-1", LONG, 1.0))

    assert ["misreported"] == names(watched(*stale, refused))


def test_a_pipeline_of_an_api_alone_is_judged_by_the_api_alone() -> None:
    status = [sample(at, "api", "status", 1.0, note="healthy") for at in LONG]

    assert ["misreported"] == names(watched(ages("api", LONG, 45.0), status))


GOOD = range(int(FOR_GOOD_SECONDS) + 5)


def test_a_service_that_stays_unhealthy_while_all_is_well_misreports() -> None:
    judged = watched(ages("table", GOOD, 1.0), health("sink-1", GOOD, 0.0))

    (finding,) = found(judged)

    assert ("misreported", "unhealthy") == (finding.anomaly, finding.examples[0]["said"])


def test_a_service_that_becomes_healthy_in_the_end_did_not_misreport() -> None:
    late = [*health("sink-1", GOOD, 0.0), *health("sink-1", [GOOD.stop], 1.0)]

    assert [] == names(watched(ages("table", range(GOOD.stop + 1), 1.0), late))
