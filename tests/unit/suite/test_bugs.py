"""The test of the judge knows every bug, and takes nothing for a find but what was expected."""

from collections.abc import Mapping
from typing import Any

import pytest

from tools.bugs.__main__ import main
from tools.bugs.expected import Expected, compare, read_expected

LOST = Expected("a-bug", "query_api", "api-pause", anomaly="lost", stage="api", at="serving")
STUCK = Expected("a-bug", "query_api", "api-pause", reason="never-recovered")


def finding(**changes: Any) -> dict[str, Any]:
    return {
        "anomaly": "lost",
        "stage": "api",
        "at": "serving",
        "count": 7,
        "before_fault": False,
        **changes,
    }


def verdict(word: str, *findings: Mapping[str, Any], code: str = "promise-broken") -> Any:
    return {"verdict": word, "findings": findings, "reasons": [{"code": code, "text": "..."}]}


@pytest.mark.parametrize("name", read_expected())
def test_every_bug_of_the_catalogue_has_an_experiment_and_something_to_be_found(name: str) -> None:
    expected = read_expected()[name]

    assert expected.file.is_file()
    assert bool(expected.reason) is not all((expected.anomaly, expected.stage, expected.at))


def test_a_finding_of_the_right_kind_in_a_failed_run_counts() -> None:
    row = compare(LOST, verdict("fail", finding(anomaly="stale"), finding(), finding(count=2)))

    assert (True, "fail", 9, "lost in the api, at serving") == (
        row.found,
        row.verdict,
        row.count,
        row.finding,
    )


@pytest.mark.parametrize(
    "seen, told",
    [
        (finding(stage="table", at="sink"), "lost in the table, at sink; promise-broken"),
        (finding(anomaly="stale"), "stale in the api, at serving; promise-broken"),
        (finding(at="source"), "lost in the api, at source; promise-broken"),
        (finding(before_fault=True), "promise-broken"),
    ],
)
def test_a_finding_of_another_kind_does_not(seen: dict[str, Any], told: str) -> None:
    row = compare(LOST, verdict("fail", seen))

    assert (False, told, None) == (row.found, row.finding, row.count)


@pytest.mark.parametrize("word", ["inconclusive", "pass"])
def test_the_right_finding_without_a_failed_run_does_not(word: str) -> None:
    assert not compare(LOST, verdict(word, finding())).found


def test_a_bug_that_leaves_the_records_whole_is_found_by_its_reason() -> None:
    assert compare(STUCK, verdict("fail", code="never-recovered")).found
    assert not compare(STUCK, verdict("fail", finding())).found
    assert not compare(STUCK, verdict("inconclusive", code="never-recovered")).found


def test_a_run_without_a_verdict_finds_nothing() -> None:
    row = compare(LOST, {})

    assert (False, "no verdict", "nothing") == (row.found, row.verdict, row.finding)
    assert not compare(STUCK, {}).found


def test_an_unknown_bug_is_refused_before_anything_is_touched(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert 2 == main(["sink-offset-first"])
    assert "no such bug: sink-offset-first; there are source-no-gap-fill" in capsys.readouterr().out
