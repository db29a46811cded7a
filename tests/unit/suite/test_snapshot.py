"""What the snapshot is taken from: the newest run that is complete, and nothing less."""

from pathlib import Path
from typing import Any

import pytest

from tools.e2e.collecting import Collected
from tools.e2e.coverage import Coverage
from tools.e2e.criteria import Criterion
from tools.e2e.runs import Line, Run
from tools.e2e.snapshot import NoCompleteRunError, is_there, load, save, take
from tools.e2e.soaked import told

TESTS = (Collected("a", ("p",)), Collected("b"))
STORM = Collected("storm", ("q",), is_scenario=True)


def run(start: str, *lines: Line | str, whole: bool = True) -> Run:
    tests = tuple(Line(one, "passed", 1) if isinstance(one, str) else one for one in lines)
    session = {"selected": len(tests), "seconds": 9.0, "exit_code": 0, "machine": {"cores": 2}}
    session |= {"repairs": [{}]}
    return Run(start, f"commit of {start}", tests, session if whole else None)


def taken(*runs: Run, tests: tuple[Collected, ...] = TESTS) -> dict[str, Any]:
    paths = {"p": "it is so", "q": "and so"}
    criteria = [Criterion("g", "w", files=["no/such/file"])]
    return take(runs, [], Coverage(paths, tests), criteria)


def test_it_is_the_newest_run_with_every_core_test() -> None:
    found = taken(run("1", "a", "b"), run("2", "a", "b"), run("3", "a"))

    assert ("2", "commit of 2", 9.0) == (found["run"], found["commit"], found["seconds"])
    assert {"a": "passed", "b": "passed"} == found["tests"]
    assert {"p": [1, 1], "q": [0, 0]} == found["coverage"]
    assert {"no/such/file": False} == found["files"]


def test_a_killed_run_is_not_complete() -> None:
    found = taken(run("1", "a", "b"), run("2", "a", "b", whole=False))

    assert "1" == found["run"]


def test_no_complete_run_is_said_with_what_to_do() -> None:
    with pytest.raises(NoCompleteRunError, match="make test-e2e"):
        taken(run("1", "a"))


def test_scenarios_come_from_their_own_newest_run_and_are_not_run_without() -> None:
    alone = taken(run("1", "a", "b"), tests=(*TESTS, STORM))
    beside = taken(run("1", "a", "b"), run("2", "storm"), tests=(*TESTS, STORM))

    assert ("not run", None) == (alone["tests"]["storm"], alone["scenarios"])
    assert "passed" == beside["tests"]["storm"]
    assert {"run": "2", "commit": "commit of 2"} == beside["scenarios"]
    assert "1" == beside["run"]


def test_failures_of_the_newest_run_are_kept_not_passed_over() -> None:
    failed = Line("b", "failed", 1)

    assert "failed" == taken(run("1", "a", "b"), run("2", "a", failed))["tests"]["b"]
    assert [1, 0] == taken(run("2", Line("a", "failed", 1), failed))["coverage"]["p"]


def test_figures_are_kept_and_what_services_used_is_only_counted() -> None:
    measured = {"age": 2.0, "resources.kafka.mib": 9.0}
    found = taken(run("0", "a"), run("1", "a", Line("b", "passed", 1, measured=measured)))

    assert {"b": {"age": 2.0}} == found["measured"]
    assert {"runs": 2, "figures": 2, "resources": 1, "repairs": 2} == found["kept"]


def test_the_soak_is_summed_up() -> None:
    line = {"start": "s", "commit": "c", "seconds": 5, "exit_code": 0, "passed": 2}
    runs = [told({**line, "failed": 0, "error": 0, "skipped": 0})]

    found = take([run("1", "a", "b")], runs, Coverage({}, TESTS), [])

    assert ([1, 1], [2, 2], {"c": [1, 1]}) == tuple(
        found["soak"][name] for name in ("runs", "tests", "commits")
    )


def test_a_file_may_have_to_hold_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f").write_text("make: it\n")

    assert is_there("f")
    assert is_there("f: make: it")
    assert not is_there("f: other")
    assert not is_there("g")


def test_a_snapshot_can_be_saved_and_loaded(tmp_path: Path) -> None:
    save(taken(run("1", "a", "b")), tmp_path / "new" / "m.json")

    assert taken(run("1", "a", "b")) == load(tmp_path / "new" / "m.json")
    assert load(tmp_path / "no.json") is None
