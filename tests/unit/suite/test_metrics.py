"""The suite's metrics: what is written, and that whatever was written can be read."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.metrics import Measured, Recorder, Selection
from tools.e2e import jsonlines
from tools.e2e.origin import commit
from tools.e2e.runs import read_runs


@dataclass
class FakeReport:
    nodeid: str
    when: str
    outcome: str = "passed"
    duration: float = 1.0
    longreprtext: str = ""


def told(recorder: Recorder, nodeid: str = "a.py::t", **outcomes: str) -> None:
    for when in ("setup", "call", "teardown"):
        if when != "call" or outcomes.get("setup", "passed") == "passed":
            outcome = outcomes.get(when, "passed")
            recorder.test(FakeReport(nodeid, when, outcome), {"seconds.p95": 2.5}, {"mib": 7})


def test_a_test_is_one_line_with_its_three_durations_and_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "new" / "metrics.jsonl"

    told(Recorder("2026-01-17T10:00:00Z", file, "abc1234-dirty"))

    (line,) = [json.loads(one) for one in file.read_text().splitlines()]
    assert "2026-01-17T10:00:00Z" == line["run"]
    assert "abc1234-dirty" == line["commit"]
    assert ("a.py::t", "passed") == (line["test"], line["outcome"])
    assert [1.0] * 3 == [line[f"{one}seconds"] for one in ("", "setup_", "teardown_")]
    assert {"seconds.p95": 2.5} == line["measured"]
    assert {"mib": 7} == line["resources"]
    assert line["at"].endswith("Z")


@pytest.mark.parametrize(
    "phase, outcome, expected",
    [
        ("setup", "failed", "error"),
        ("call", "failed", "failed"),
        ("teardown", "failed", "error"),
        ("setup", "skipped", "skipped"),
        ("call", "skipped", "skipped"),
    ],
)
def test_a_failure_outside_of_the_call_is_an_error(
    phase: str, outcome: str, expected: str, tmp_path: Path
) -> None:
    told(Recorder("r", tmp_path / "m"), **{phase: outcome})

    (run,), _ = read_runs(tmp_path / "m")
    assert {"a.py::t": expected} == run.outcomes


def test_the_reason_is_the_errors_own_first_line(tmp_path: Path) -> None:
    recorder = Recorder("r", tmp_path / "m")
    recorder.test(FakeReport("t", "setup"))
    text = "def test():\n>   assert 1 == 2\nE   assert 1 == 2\nE   more\n"
    recorder.test(FakeReport("t", "call", "failed", longreprtext=text))
    recorder.test(FakeReport("t", "teardown"))

    (run,), _ = read_runs(tmp_path / "m")
    assert "assert 1 == 2" == run.tests[0].reason


def test_a_session_tells_what_was_selected_repaired_and_on_which_machine(tmp_path: Path) -> None:
    recorder = Recorder("r", tmp_path / "m", "abc")
    recorder.engine = "27.1"
    told(recorder)
    recorder.repair("a.py::t", "sink away", "lab up", 3.456)
    recorder.session(12.345, 1, Selection(1, 3, ["a.py"]))

    (run,), _ = read_runs(tmp_path / "m")
    assert run.session is not None
    assert (1, 1, 3) == tuple(run.session[one] for one in ("exit_code", "selected", "collected"))
    assert ["a.py"] == run.session["files"]
    assert [("a.py::t", 3.46)] == [
        (one["before_test"], one["seconds"]) for one in run.session["repairs"]
    ]
    assert "27.1" == run.session["machine"]["engine"]
    assert run.session["machine"]["memory_gib"] > 0
    assert run.is_whole


def test_a_killed_session_is_a_run_that_is_not_whole(tmp_path: Path) -> None:
    told(Recorder("r", tmp_path / "m"))

    (run,), remarks = read_runs(tmp_path / "m")

    assert not run.is_whole
    assert 1 == len(run.tests)
    assert [] == remarks


def test_an_interrupted_session_is_not_whole_either(tmp_path: Path) -> None:
    recorder = Recorder("r", tmp_path / "m")
    told(recorder)
    recorder.session(1, 2, Selection(2, 2, ["a.py"]))

    (run,), _ = read_runs(tmp_path / "m")
    assert not run.is_whole


def test_a_torn_line_is_skipped_with_a_remark_and_what_follows_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "m"
    told(Recorder("r1", file))
    file.write_bytes(file.read_bytes()[:-20])
    told(Recorder("r2", file))

    runs, remarks = read_runs(file)

    assert ["r2"] == [one.run for one in runs]
    (remark,) = remarks
    assert f"{file}:1:" in remark


def test_a_file_that_ends_in_half_a_letter_is_read(tmp_path: Path) -> None:
    jsonlines.append(tmp_path / "m", {"run": "r", "test": "ü", "outcome": "passed"})
    (tmp_path / "m").write_bytes((tmp_path / "m").read_bytes() + b'{"run": "\xc3')

    runs, remarks = read_runs(tmp_path / "m")

    assert ["ü"] == [one.test for one in runs[0].tests]
    assert 1 == len(remarks)


def test_lines_of_no_run_are_counted_not_read(tmp_path: Path) -> None:
    jsonlines.append(tmp_path / "m", {"at": "2026", "test": "a", "outcome": "passed"})

    runs, remarks = read_runs(tmp_path / "m")

    assert [] == runs
    assert "1 lines belong to no run" in remarks[0]


def test_no_file_is_no_run() -> None:
    assert ([], []) == read_runs(Path("no/such/file"))


def test_figures_are_flat_and_finite(tmp_path: Path) -> None:
    measured = {"a": float("inf"), "b": 1, "c": True}
    line = {"run": "r", "test": "t", "outcome": "passed", "measured": measured}
    jsonlines.append(tmp_path / "m", {**line, "resources": {"kafka": {"mib": 900.5}}})

    (run,), _ = read_runs(tmp_path / "m")

    assert {"b": 1.0, "resources.kafka.mib": 900.5} == run.tests[0].measured


def test_the_distribution_of_values_is_kept_by_its_marks() -> None:
    measured = Measured()

    marks = measured.marks("age_seconds", [1.0, 2.0, 3.0])

    assert 2.0 == marks["mean"] == measured.found["age_seconds.p50"]
    assert 3.0 == measured.found["age_seconds.max"]


def test_a_changed_work_tree_is_a_dirty_commit(tmp_path: Path) -> None:
    assert commit(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@x"]
    (tmp_path / "f").write_text("1")
    for words in (["init", "-q"], ["add", "f"], ["commit", "-qm", "m"]):
        subprocess.run([*git, *words], check=True)
    clean = commit(tmp_path)
    (tmp_path / "f").write_text("2")

    assert clean is not None
    assert f"{clean}-dirty" == commit(tmp_path)
