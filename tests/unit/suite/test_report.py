"""Trends over runs: the numbers, and what people see of them."""

import re
from pathlib import Path
from xml.dom import minidom

import pytest
from click.testing import CliRunner, Result

from tools.e2e import jsonlines
from tools.e2e.report import report
from tools.e2e.report_html import html
from tools.e2e.runs import Line, Run
from tools.e2e.trends import (
    Point,
    Series,
    durations,
    measurements,
    records,
    resources,
    sentence,
    sessions,
)


def run(number: int, *tests: Line, whole: bool = True) -> Run:
    session = {"selected": len(tests), "seconds": 100.0 + number}
    return Run(f"2026-01-{number:02d}", f"c{number}", tests, session if whole else None)


def line(
    outcome: str = "passed", test: str = "tests/e2e/f.py::test_it_is", **figures: float
) -> Line:
    named = {name.replace("__", "."): value for name, value in figures.items()}
    return Line(test, outcome, 2.0, 1.0, 0.5, "late" if outcome == "failed" else "", named)


def series(*values: float) -> Series:
    return Series("g", "n", tuple(Point("r", "c", value) for value in values))


def test_a_series_has_a_last_a_median_and_a_bar_each() -> None:
    one = series(1, 9, 5)

    assert (5, 5) == (one.last, one.median)
    assert "▁█▅" == one.sparkline
    assert "▁▁" == series(3, 3).sparkline


def test_each_figure_of_each_test_is_a_series_of_the_runs_that_measured_it() -> None:
    runs = [run(1, line(age=1)), run(2, line()), run(3, line(age=3))]

    (one,) = measurements(runs)

    assert ("it is", "age") == (one.group, one.name)
    assert [("2026-01-01", "c1", 1), ("2026-01-03", "c3", 3)] == [
        (point.run, point.commit, point.value) for point in one.points
    ]


def test_of_what_services_used_the_most_of_a_run_is_shown() -> None:
    two = "tests/e2e/f.py::test_b"
    runs = [run(1, line(resources__kafka__mib=7), line(test=two, resources__kafka__mib=5))]

    assert [("kafka.mib", [7])] == [(one.name, one.values) for one in resources(runs)]
    assert [] == measurements(runs)


def test_a_test_takes_its_setup_and_teardown_as_well_and_the_slowest_is_first() -> None:
    slow = Line("tests/e2e/f.py::test_slow", "passed", 9)

    assert [("slow", 9), ("it is", 3.5)] == [
        (one.group, one.last) for one in durations([run(1, line(), slow)])
    ]


def test_only_whole_sessions_of_as_many_tests_are_compared() -> None:
    two = line(test="tests/e2e/f.py::test_b")
    runs = [run(1, line(), two), run(2, line()), run(3, line(), two), run(4, line(), whole=False)]

    (one,) = sessions(runs)

    assert [101.0, 103.0] == one.values
    assert [] == sessions([run(1, line(), whole=False)])


def test_a_test_is_flaky_when_it_failed_and_passed() -> None:
    always = "tests/e2e/f.py::test_b"
    runs = [run(1, line("failed"), line("error", always)), run(2, line(), line("error", always))]

    first, second = records([*runs, run(3, line())])

    assert (2, ("error", "error", None)) == (first.failures, first.outcomes)
    assert not first.is_flaky
    assert (1, ("failed", "passed", "passed"), "late") == (
        second.failures,
        second.outcomes,
        second.reason,
    )
    assert second.is_flaky


def test_a_tests_name_is_its_sentence() -> None:
    assert "it is so[a_b]" == sentence("tests/e2e/f.py::test_it_is_so[a_b]").replace("a b", "a_b")


def told(folder: Path, *options: str) -> Result:
    file = folder / "m.jsonl"
    for day, outcome in (("01", "passed"), ("02", "failed")):
        head = {"run": f"2026-01-{day}", "commit": "abc"}
        test = {"test": "tests/e2e/f.py::test_it[<a>]", "outcome": outcome, "seconds": 1.5}
        jsonlines.append(file, head | test | {"reason": "late [red]", "measured": {"age": 3.25}})
        jsonlines.append(file, head | {"session": {"selected": 1, "seconds": 99.0}})
    return CliRunner().invoke(report, ["--file", str(file), *options], standalone_mode=False)


def test_the_report_tells_sessions_measurements_slowest_and_the_flaky(tmp_path: Path) -> None:
    said = told(tmp_path).output

    assert "2 runs, 2026-01-01 to 2026-01-02" in said
    assert re.search(r"session of 1 tests, seconds +99 +99 +99 +99", said)
    assert re.search(r"age +3.25 +3.25 +3.25 +3.25", said)
    assert re.search(r"it\[<a>\] +1.5", said)
    assert "0 of 1 tests never failed" in said
    assert "1 of 2, flaky" in said
    assert "late [red]" in said


def test_only_the_last_runs_are_looked_at(tmp_path: Path) -> None:
    assert "1 runs, 2026-01-02 to 2026-01-02" in told(tmp_path, "--last", "1").output


def test_no_runs_are_said_with_what_to_do() -> None:
    result = CliRunner().invoke(report, ["--file", "no/such"], standalone_mode=False)

    assert 2 == result.return_value
    assert "no/such has no run yet: `make test-e2e` makes one" in result.output


def test_the_page_stands_alone_and_its_charts_are_well_formed(tmp_path: Path) -> None:
    assert told(tmp_path, "--html", str(tmp_path / "new" / "p.html")).return_value == 0
    page = (tmp_path / "new" / "p.html").read_text()

    charts = re.findall(r"<svg.*?</svg>", page)
    assert 3 == len(charts)
    for chart in charts:
        assert 2 == len(minidom.parseString(chart).getElementsByTagName("circle"))
    assert "it[&lt;a&gt;]" in page
    assert "<a>" not in page
    assert not re.search(r"(src|href)=|<script|url\(", page)


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-1.0, 2.0], [0.0, 0.0]])
def test_every_point_lies_inside_of_its_chart(values: list[float]) -> None:
    runs = [run(number + 1, line(age=value)) for number, value in enumerate(values)]

    places = re.findall(r'cx="([\d.-]+)" cy="([\d.-]+)"', html(runs))

    assert places
    assert all(0 <= float(x) <= 240 and 0 <= float(y) <= 56 for x, y in places)


def test_the_newest_run_is_never_cut_off_in_a_narrow_terminal(tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    for day in range(20):
        test = {"test": f"f.py::test_{'long_' * 30}", "outcome": "passed", "seconds": day}
        test |= {"measured": {"milliseconds" * 6: day * 1111}}
        jsonlines.append(file, {"run": f"2026-01-{day:02d}", "commit": None} | test)

    arguments = ["--file", str(file)]
    said = CliRunner(env={"COLUMNS": "80"}).invoke(report, arguments, standalone_mode=False).output

    bars = [found for one in said.splitlines() if (found := re.findall("[▁▂▃▄▅▆▇█]", one))]
    assert [20, 20] == [len(one) for one in bars]
