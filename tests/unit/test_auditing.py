"""An audit without a fault, on a pipeline of fakes."""

import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from k2chaos.auditing import Span, audit_pipeline, print_audit, read_span
from k2chaos.clock import Clock
from k2chaos.errors import UsageError
from k2chaos.evidence.reading import read_run
from k2chaos.judge.document import verdict_document
from k2chaos.pipeline import STAGES, Budgets, Pipeline
from k2chaos.pipeline_file import PipelineFile
from k2chaos.system.stages import Stages, open_stages
from k2chaos.system.topic import TopicClient
from tests.fakes.clock import FakeClock
from tests.fakes.lab import Lab, fake_lab
from tests.fakes.servers import Answer, Request
from tests.fakes.table import rows_of
from tests.fakes.topic import encode, time_of

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class FromItsFirstRecord(TopicClient):
    """librdkafka's mock broker knows no times: every time is before its first record."""

    def offsets_at(self, milliseconds: int) -> dict[int, int]:
        return dict.fromkeys(self.end_offsets(), 0)

    def letter_offsets_at(self, milliseconds: int) -> dict[int, int]:
        return dict.fromkeys(self.letter_offsets(), 0)


def opened(pipeline: Pipeline, clock: Clock) -> Stages:
    stages = open_stages(pipeline, clock)
    if pipeline.topic is None:
        return stages
    assert stages.topic is not None
    stages.topic.close()
    return replace(stages, topic=FromItsFirstRecord(pipeline.topic, pipeline.record, clock=clock))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with fake_lab(tmp_path, FakeClock()) as lab:
        yield lab


def audited(lab: Lab, folder: Path, first: int, last: int | None, **changes: Any) -> Any:
    """The verdict on the records *first* to *last* (to the newest, where it is ``None``)."""
    file = PipelineFile(folder / "trial.yaml", lab.pipeline(**changes), "", ())
    until = time_of(last) if last else None
    lab.clock.seconds += 60
    span, environ = Span(time_of(first - 1), until), {"K2CHAOS_JOURNALS": str(folder)}
    path, document = audit_pipeline(file, span, lab.clock, environ, opened)
    assert (path / "verdict.json").is_file()
    return document


def test_data_that_are_whole_pass(lab: Lab, tmp_path: Path) -> None:
    lab.flow("BTC", *range(1, 101))

    document = audited(lab, tmp_path, 11, 90)

    assert ("pass", []) == (document["verdict"], document["reasons"])
    assert {"expected": 80, "topic": 80, "table": 80, "api": 80}.items() <= (
        document["records"].items()
    )


@pytest.mark.parametrize("read", range(5))
def test_an_audit_that_was_killed_is_no_pass(read: int, lab: Lab, tmp_path: Path) -> None:
    """Its folder is as it was when the first *read* stages had been read."""
    lab.flow("BTC", *range(1, 101))
    audited(lab, tmp_path, 11, 90)
    (folder,) = tmp_path.glob("*-audit")
    for stage in STAGES[read:]:
        (folder / "records" / f"{stage}.parquet").unlink(missing_ok=True)
    events = folder / "events.jsonl"
    events.write_text(events.read_text().splitlines(keepends=True)[0])

    document = verdict_document(read_run(folder))

    assert "inconclusive" == document["verdict"]
    codes = {one["code"] for one in document["reasons"]}
    assert codes == {"evidence-damaged", *(["not-audited"] if read < len(STAGES) else [])}


def test_without_an_end_everything_up_to_now_counts(lab: Lab, tmp_path: Path) -> None:
    lab.flow("BTC", *range(1, 101))

    assert 90 == audited(lab, tmp_path, 11, None)["records"]["expected"]


def test_what_is_lost_fails_and_is_named(lab: Lab, tmp_path: Path) -> None:
    lab.flow("BTC", *range(1, 101))
    lab.api.trades = [one for one in lab.api.trades if one["trade_id"] != "BINANCE-50"]

    document = audited(lab, tmp_path, 11, 90)

    (finding,) = document["findings"]
    assert ("fail", "lost", "api") == (document["verdict"], finding["anomaly"], finding["stage"])
    assert [{"key": "BTC", "sequence": 50}] == finding["examples"]


@pytest.mark.parametrize(
    "budget, after, anomalies",
    [(30.0, 20.0, []), (30.0, 35.0, ["late"]), (30.0, 65.0, ["lost"]), (90.0, 65.0, [])],
)
def test_a_record_is_late_by_the_freshness_budget_and_lost_by_twice_that(
    budget: float, after: float, anomalies: list[str], lab: Lab, tmp_path: Path
) -> None:
    lab.flow("BTC", *range(1, 101))
    late = [one for one in lab.api.trades if one["trade_id"] == "BINANCE-50"]
    lab.api.trades = [one for one in lab.api.trades if one not in late]

    class Showing(FakeClock):
        def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
            ended = super().wait(seconds, event)
            if self.seconds > began + after and late:
                lab.api.trades.append(late.pop())
            return ended

    lab.clock = Showing(lab.clock.seconds)
    began = lab.clock.seconds + 60

    document = audited(lab, tmp_path, 11, 90, budgets=Budgets(freshness_seconds=budget))

    assert [(anomaly, "api", 1) for anomaly in anomalies] == [
        (one["anomaly"], one["stage"], one["count"]) for one in document["findings"]
    ]
    assert ("fail" if anomalies else "pass") == document["verdict"]


def test_a_stage_that_is_down_is_the_pipelines_failure(lab: Lab, tmp_path: Path) -> None:
    lab.flow("BTC", *range(1, 101))
    lab.table.server.break_off = True

    document = audited(lab, tmp_path, 11, 90)

    assert ["stage-unavailable"] == [one["code"] for one in document["reasons"]]
    assert "fail" == document["verdict"]


def test_an_exchange_that_remembers_nothing_is_inconclusive(lab: Lab, tmp_path: Path) -> None:
    lab.flow("BTC", *range(1, 101))
    answer = lab.exchange.server.answer
    lab.exchange.server.answer = lambda request: (
        (410, {"reason": "too long ago"}) if request.query.get("at_ms") else answer(request)
    )

    document = audited(lab, tmp_path, 11, 90)

    assert {"not-audited", "too-few-records"} == {one["code"] for one in document["reasons"]}
    assert "inconclusive" == document["verdict"]


def test_an_idle_market_is_inconclusive_and_never_a_pass(lab: Lab, tmp_path: Path) -> None:
    lab.flow("BTC", 1, 2, 3)

    document = audited(lab, tmp_path, 500, 600)

    assert ["too-few-records"] == [one["code"] for one in document["reasons"]]
    assert "inconclusive" == document["verdict"]


@pytest.mark.parametrize("without", [["exchange"], ["exchange", "topic"]])
def test_without_exchange_what_the_first_stage_shows_is_expected_of_the_others(
    lab: Lab, tmp_path: Path, without: list[str]
) -> None:
    lab.flow("BTC", *range(1, 101))
    lab.api.trades = [one for one in lab.api.trades if one["trade_id"] != "BINANCE-50"]

    document = audited(lab, tmp_path, 11, 90, **dict.fromkeys(without))

    assert ["lost"] == [one["anomaly"] for one in document["findings"]]
    assert 81 == document["records"]["expected"]


def test_a_gap_in_the_only_stage_is_found(lab: Lab, tmp_path: Path) -> None:
    lab.flow("BTC", *(one for one in range(1, 101) if one != 50))

    document = audited(lab, tmp_path, 11, 90, exchange=None, topic=None, table=None)

    assert [("lost", "api")] == [(one["anomaly"], one["stage"]) for one in document["findings"]]


def test_a_forged_record_is_found(lab: Lab, tmp_path: Path) -> None:
    lab.flow("BTC", *range(1, 101))
    lab.table.append(rows_of("FORGED", 30))

    document = audited(lab, tmp_path, 11, 90)

    assert ["phantom"] == [one["anomaly"] for one in document["findings"]]


def test_wrong_credentials_are_a_mistake_and_leave_no_folder(lab: Lab, tmp_path: Path) -> None:
    lab.api.server.answer = lambda _: (403, {})
    file = PipelineFile(tmp_path / "trial.yaml", lab.pipeline(), "", ())
    journals = tmp_path / "journals"

    with pytest.raises(UsageError, match=r"api\.key"):
        audit_pipeline(file, Span(NOW), lab.clock, {"K2CHAOS_JOURNALS": str(journals)})

    assert not journals.exists()


def test_what_was_found_is_printed(lab: Lab, tmp_path: Path) -> None:
    lab.flow("BTC", *range(1, 101))
    lab.api.trades = [one for one in lab.api.trades if one["trade_id"] != "BINANCE-50"]
    output = io.StringIO()

    print_audit(tmp_path, audited(lab, tmp_path, 11, 90), output)

    text = output.getvalue()
    for word in ("80", "lost at serving: 1", "BTC", "50", "promise-broken", "fail"):
        assert word in text


@pytest.mark.parametrize(
    "text, ago",
    [("90s", 90), ("15m", 900), ("1.5h", 5400), ("2d", 172_800), ("2026-01-01T11:00:00", 3600)],
)
def test_a_span_begins_so_long_ago_or_at_a_moment(text: str, ago: float) -> None:
    assert Span(NOW - timedelta(seconds=ago)) == read_span(text, None, NOW)


@pytest.mark.parametrize(
    "since, until",
    [
        ("soon", None),
        ("10m", "later"),
        ("10m", "20m"),
        ("2027-01-01", None),
        ("2027-01-01", "2028-01-01"),
        ("99999999999d", None),
        (f"{'9' * 400}d", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("10m", "9999-12-31T23:59:59-12:00"),
        ("1970-01-01T00:00:30", None),
        ("0001-01-01", None),
    ],
)
def test_a_span_that_is_none_is_a_mistake(since: str, until: str | None) -> None:
    with pytest.raises(UsageError, match=r"is no time|nothing to look at|no topic knows"):
        read_span(since, until, NOW)


def test_letters_that_cannot_be_read_at_once_are_asked_for_again(lab: Lab, tmp_path: Path) -> None:
    """A registry that is away for a moment (it is asked for what the letters are)."""
    lab.flow("BTC", *range(1, 101))
    lab.topic.put_raw(encode("BTC", 50, schema_id=2), topic=lab.topic.topic.dlq)
    lab.topic.flush()
    answer, refusals = lab.topic.registry.answer, [503, 503]

    def away(request: Request) -> Answer:
        if request.path.endswith("/2") and refusals:
            return refusals.pop(), {}
        return answer(request)

    lab.topic.registry.answer = away

    document = audited(lab, tmp_path, 11, 90)

    assert ("pass", []) == (document["verdict"], refusals)
