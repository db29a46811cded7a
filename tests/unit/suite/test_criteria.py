"""How a criterion is judged: never shown without figures, never by tests that did not pass."""

from typing import Any

import pytest

from tools.e2e.collecting import collect
from tools.e2e.criteria import Criterion, Figure, Judged, judge, read_criteria, shown, unknown_tests
from tools.e2e.criteria_page import page

AGE = Figure("age.max", "oldest", "f.py::test_age", "s", at_most=30)
ONE = "tests/e2e/f.py::test_age[10]"
TWO = "tests/e2e/f.py::test_age[100]"


def snapshot(**other: Any) -> dict[str, Any]:
    return {
        "run": "2026-01-17T10:00:00Z",
        "commit": "abc",
        "seconds": 240.0,
        "exit_code": 0,
        "machine": {"cores": 2, "memory_gib": 7.8, "python": "3.11.7", "engine": "27"},
        "scenarios": None,
        "tests": {ONE: "passed", TWO: "passed"},
        "measured": {ONE: {"age.max": 3.2, "b_mib": 5}, TWO: {"age.max": 4.55, "c_mib": 9}},
        "coverage": {"a -> b": [2, 2], "b -> c": [1, 1]},
        "kept": {"runs": 3},
        "soak": None,
        "files": {"Makefile": True, "gone.md": False},
        **other,
    }


def judged(found: dict[str, Any] | None = None, **parts: Any) -> Judged:
    return judge(Criterion("g", "w", **parts), found or snapshot())


def test_tests_that_all_passed_show_it_with_their_number() -> None:
    found = judged(tests=["f.py::test_age"])

    assert found.is_shown
    assert ["2 of 2 tests passed"] == found.measured


@pytest.mark.parametrize("outcome", ["failed", "error", "skipped", "not run"])
def test_a_test_that_did_not_pass_is_named_and_nothing_is_shown(outcome: str) -> None:
    found = judged(snapshot(tests={ONE: "passed", TWO: outcome}), tests=["f.py::*"])

    assert not found.is_shown
    assert [f"test_age[100]: {outcome}"] == found.missing
    assert ["1 of 2 tests passed"] == found.measured


def test_a_test_that_is_gone_is_said() -> None:
    found = judged(tests=["f.py::test_age", "f.py::test_renamed"])

    assert ["no test is f.py::test_renamed"] == found.missing


def test_figures_stand_with_their_case() -> None:
    found = judged(figures=[AGE])

    assert ["oldest 10: 3.2, 100: 4.55 s"] == found.measured
    assert found.is_shown


def test_a_figure_over_its_limit_or_under_it_or_missing_is_said() -> None:
    over = judged(snapshot(measured={ONE: {"age.max": 31.0}}), figures=[AGE])
    under = judged(figures=[Figure("age.max", "most", "f.py::*", at_least=4)])
    missing = judged(figures=[Figure("other", "other thing", "f.py::test_age")])

    assert ["oldest: 31 is more than 30"] == over.missing
    assert ["most: 3.2 is less than 4"] == under.missing
    assert ["other thing: not measured"] == missing.missing


def test_of_many_names_the_largest_can_be_shown() -> None:
    found = judged(figures=[Figure("*_mib", "largest", "f.py::*", "MiB", worst=True)])

    assert ["largest c_mib: 9 MiB"] == found.measured


def test_what_the_suite_keeps_of_itself_is_a_figure() -> None:
    assert judged(kept=[Figure("runs", "runs", at_least=2)]).is_shown
    assert not judged(kept=[Figure("runs", "runs", at_least=4)]).is_shown
    assert ["x: not measured"] == judged(kept=[Figure("no", "x")]).missing


def test_files_have_to_be_there() -> None:
    assert judged(files=["Makefile"]).is_shown
    assert ["not there: gone.md"] == judged(files=["Makefile", "gone.md"]).missing


def test_a_path_without_a_test_is_named() -> None:
    assert judged(computed="coverage").is_shown

    found = judged(snapshot(coverage={"a": [2, 2], "b": [0, 0], "c": [3, 2]}), computed="coverage")
    assert ["1 of 3 paths, with tests that all passed"] == found.measured
    assert ["no test: b", "1 of 3 tests did not pass: c"] == found.missing


def test_the_suite_has_to_be_done_in_time() -> None:
    assert judged(computed="seconds", at_most=300).is_shown
    assert not judged(computed="seconds", at_most=200).is_shown


def test_a_suite_that_failed_was_not_done_in_time() -> None:
    for worse in ({"exit_code": 1}, {"tests": {ONE: "skipped"}}):
        assert not judged(snapshot(**worse), computed="seconds", at_most=300).is_shown


def soak(runs: tuple[int, int], tests: tuple[int, int]) -> dict[str, Any]:
    found = {"runs": runs, "tests": tests, "seconds": [240, 230, 260], "commits": {"abc": runs}}
    return snapshot(soak={**found, "from": "x", "to": "y"})


def test_reliability_needs_enough_runs_and_enough_that_passed() -> None:
    parts: dict[str, Any] = {"computed": "soak", "runs": 50, "at_least": 0.999}

    assert judged(soak((50, 50), (2250, 2250)), **parts).is_shown
    assert ["49 of 50 runs made"] == judged(soak((49, 49), (2205, 2205)), **parts).missing
    assert ["fewer than 99.9% of the tests passed"] == judged(
        soak((40, 50), (2240, 2250)), **parts
    ).missing
    assert ["not measured: `make e2e-soak`"] == judged(**parts).missing


def test_nothing_measured_shows_nothing() -> None:
    assert not judged().is_shown


@pytest.mark.parametrize(
    "value, text", [(3.0, "3"), (0.0123, "0.0123"), (4.567, "4.57"), (1234.5, "1234"), (0, "0")]
)
def test_figures_have_three_digits_that_count(value: float, text: str) -> None:
    assert text == shown(value)


def test_every_test_that_the_criteria_name_is_there() -> None:
    assert [] == unknown_tests(read_criteria(), [one.test for one in collect()])
    assert 1 == len(unknown_tests([Criterion("g", "w", tests=["f.py::x"])], [ONE]))


def test_the_criteria_are_all_of_the_requirements() -> None:
    groups = [one.group for one in read_criteria()]

    assert 4 == groups.count("Quantitative goals")
    for kind, count in (("Must have", 5), ("Nice to have", 3)):
        numbered = [name for name in groups if name.startswith(kind)]
        assert count == len(set(numbered))
        assert 3 * count == len(numbered)


def test_the_page_heads_with_run_commit_machine_and_time_and_counts_what_is_shown() -> None:
    criteria = [Criterion("g1", "w1", tests=["f.py::*"]), Criterion("g2", "w2", figures=[AGE])]
    measured = {ONE: {"age.max": 99.0}}

    text = page(criteria, soak((50, 50), (5, 5)) | {"measured": measured})

    assert "- Run of 2026-01-17T10:00:00Z, commit abc\n- 240 s, exit code 0" in text
    assert "2 cores, 7.8 GiB, Python 3.11.7, engine 27" in text
    assert "on commits abc (50)" in text
    assert "1 of 2 criteria are shown." in text
    assert "| w1 | yes | 2 of 2 tests passed | `test_age` |" in text
    assert "| w2 | **no**: oldest: 99 is more than 30 | oldest 10: 99 s |  |" in text


def test_the_page_without_a_snapshot_claims_nothing() -> None:
    text = page(read_criteria(), None)

    assert "Nothing was measured yet" in text
    assert "| yes |" not in text
