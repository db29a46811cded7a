"""What many runs say together."""

from pathlib import Path
from typing import Any

from click.testing import CliRunner

from tools.e2e import jsonlines
from tools.e2e.soaked import read_soak, reliability, soak_report, told


def line(passed: int = 10, seconds: float = 200, **other: Any) -> dict[str, Any]:
    failures = other.get("failures", [])
    counts = {"passed": passed, "failed": len(failures), "error": 0, "skipped": 0}
    start = {"start": "2026-01-17T10:00:00Z", "commit": "abc", "seconds": seconds}
    return {**start, **counts, "exit_code": int(bool(failures)), "load": [1.0, 2.0], **other}


def failed(test: str, reason: str) -> dict[str, str]:
    return {"test": test, "reason": reason}


def test_rates_are_over_runs_and_over_single_tests() -> None:
    runs = [told(one) for one in (line(), line(), line(9, failures=[failed("a", "late")]))]

    found = reliability(runs)

    assert (2, 3) == (found.runs.good, found.runs.of)
    assert (29, 30) == (found.tests.good, found.tests.of)


def test_the_time_of_a_run_is_its_median_and_its_ends() -> None:
    runs = [told(line(seconds=seconds)) for seconds in (190, 300, 200)]

    assert (200, 190, 300) == reliability(runs).seconds


def test_the_flakiest_test_comes_first_with_its_reasons_by_number() -> None:
    failures = [[failed("b", "late"), failed("a", "x")], [failed("b", "gone")]]
    failures.append([failed("b", "late")])

    found = reliability([told(line(failures=one)) for one in failures])

    assert (("b", 3, ("2 x late", "1 x gone")), ("a", 1, ("1 x x",))) == found.flaky


def test_each_commit_has_its_own_rate() -> None:
    runs = [told(one) for one in (line(), line(commit=None), line(exit_code=1))]

    rates = reliability(runs).commits

    assert {"abc": (1, 2), "unknown": (1, 1)} == {
        name: (rate.good, rate.of) for name, rate in rates.items()
    }


def test_a_run_that_skipped_or_ran_nothing_is_not_green() -> None:
    assert told(line()).is_green
    assert not told(line(skipped=1)).is_green
    assert not told(line(passed=0)).is_green
    assert not told(line(exit_code=3)).is_green


def test_a_run_is_told_in_a_line_with_the_reason_of_each_failure() -> None:
    said = str(told(line(failures=[failed("f.py::test_x[a]", "late by 3 s")])))

    assert "NOT GREEN  10 passed, 1 failed in 200 s, load 2.0" in said
    assert "test_x[a]: late by 3 s" in said


def test_a_run_in_which_all_failed_is_still_told_in_a_few_lines() -> None:
    said = str(told(line(failures=[failed(f"f.py::t{one}", "late") for one in range(45)])))

    assert 5 == len(said.splitlines())
    assert said.endswith("and 42 more")


def test_lines_that_are_no_runs_are_skipped_with_a_remark(tmp_path: Path) -> None:
    jsonlines.append(tmp_path / "s", {"start": "x"})
    jsonlines.append(tmp_path / "s", line())

    runs, remarks = read_soak(tmp_path / "s")

    assert 1 == len(runs)
    assert "1 lines are no runs" in remarks[0]


def test_the_report_tells_rates_times_commits_and_the_flaky(tmp_path: Path) -> None:
    for one in (line(), line(9, failures=[failed("f.py::t[red]", "assert 1 == [2]")])):
        jsonlines.append(tmp_path / "s", one)

    said = CliRunner().invoke(soak_report, ["--file", str(tmp_path / "s")]).output

    assert "1 of 2 = 50.00 % (95 % confidence, Wilson: 9.45 % to 90.54 %)" in said
    assert "19 of 20 = 95.00 %" in said
    assert "200 s median, 200 to 200 s" in said
    assert "commit abc: 1 of 2 runs green" in said
    assert "t[red]" in said
    assert "1 x assert 1 == [2]" in said


def test_no_runs_are_said_with_what_to_do(tmp_path: Path) -> None:
    arguments = ["--file", str(tmp_path / "no")]
    result = CliRunner().invoke(soak_report, arguments, standalone_mode=False)

    assert 2 == result.return_value
    assert "make e2e-soak" in result.output
