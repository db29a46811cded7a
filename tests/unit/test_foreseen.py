"""What lint tells of a run before it: no mistake, and nothing of a run that may pass."""

import json
from pathlib import Path
from typing import Any

import pytest

from k2chaos.lint.files import lint_files
from k2chaos.lint.foreseen import foreseen
from tests.fakes.pipelines import ROOT, lab_pipeline

EXPERIMENTS = sorted((ROOT / "experiments").glob("*.json"))


def tree_of(name: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((ROOT / "experiments" / f"{name}.json").read_text())
    return tree


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_of_an_experiment_that_can_pass_nothing_is_foreseen(path: Path) -> None:
    assert () == foreseen(json.loads(path.read_text()), lab_pipeline())


@pytest.mark.parametrize(
    "name, without, lacking",
    [
        ("api-crash", ["api"], "no role api, no stage api"),
        ("feed-burst", ["exchange"], "no stage exchange"),
        ("source-kill", ["source"], "no role source"),
        ("sink-broker-partition", ["broker"], "no role broker"),
        ("sink-kill", ["store"], ""),
    ],
)
def test_what_the_pipeline_file_does_not_have_is_told_once(
    name: str, without: list[str], lacking: str
) -> None:
    told = foreseen(tree_of(name), lab_pipeline(without=without))

    assert told == ((f"unsupported: pipeline lab has {lacking}",) if lacking else ())


def test_the_stage_of_a_fault_on_the_table_is_looked_for() -> None:
    tree = tree_of("table-commit-conflicts")
    del tree["steady-state-hypothesis"]["probes"][1:]
    tree["steady-state-hypothesis"]["probes"][0]["provider"]["func"] = "impaired_services"
    tree["steady-state-hypothesis"]["probes"][0]["provider"]["arguments"] = {}

    (told,) = foreseen(tree, lab_pipeline(table=None))

    assert "unsupported: pipeline lab has no stage table" == told


def test_a_role_that_only_the_run_will_know_is_left_to_it() -> None:
    tree = tree_of("api-crash")
    tree["configuration"] = {"whom": "catalog"}
    tree["method"][0]["provider"]["arguments"]["role"] = "${whom}"

    assert () == foreseen(tree, lab_pipeline(without=["catalog"]))


@pytest.mark.parametrize(
    "change, codes",
    [
        ({"method": []}, ["nothing-proven"]),
        ({"method": [], "steady-state-hypothesis": {"probes": []}}, ["nothing-proven"]),
        ({"steady-state-hypothesis": {"probes": []}}, ["hypothesis-untested"]),
        ({"steady-state-hypothesis": None}, ["hypothesis-untested"]),
        ({"runtime": {"hypothesis": {"strategy": "before-method-only"}}}, ["hypothesis-untested"]),
        ({"runtime": {"hypothesis": {"strategy": "during-method-only"}}}, ["hypothesis-untested"]),
        ({"runtime": {"hypothesis": {"strategy": "continuously"}}}, []),
        ({"rollbacks": tree_of("api-crash")["method"][:1]}, ["fault-outside-method"]),
        ({"method": [], "rollbacks": tree_of("sink-kill")["method"]}, ["fault-outside-method"]),
    ],
    ids=str,
)
def test_what_a_run_cannot_prove_is_told_by_the_code_of_its_reason(
    change: dict[str, Any], codes: list[str]
) -> None:
    told = foreseen(tree_of("api-crash") | change, None)

    assert codes == [line.split(":")[0] for line in told]


@pytest.mark.parametrize(
    "tolerance",
    [
        {"type": "range", "range": [0, 1], "provider": "x"},
        {"type": "range", "range": [0, 1], "provider": {"module": "k2chaos.probes", "func": "f"}},
        {"type": "probe", "ref": "x", "provider": {"module": "k2chaos.probes", "arguments": []}},
        {"type": "range", "range": [0, 1], "provider": {
            "type": "python", "module": "k2chaos.probes", "func": "lost_records",
            "arguments": {"stage": "table"}}},
    ],
)  # fmt: skip
def test_a_provider_that_nobody_calls_says_nothing(tolerance: dict[str, Any]) -> None:
    tree = tree_of("api-crash")
    tree["steady-state-hypothesis"]["probes"] = [
        {"name": "one", "type": "probe", "tolerance": tolerance, "provider": {
            "type": "python", "module": "k2chaos.probes", "func": "impaired_services"}},
    ]  # fmt: skip

    assert () == foreseen(tree, lab_pipeline(table=None))


def test_it_is_said_beside_the_ok_and_is_no_mistake(tmp_path: Path) -> None:
    for name in ("one", "two"):
        tree = tree_of("api-crash") | {"method": []}
        (tmp_path / f"{name}.json").write_text(json.dumps(tree))

    report = lint_files([str(tmp_path / "one.json"), str(tmp_path / "two.json")], None)

    assert not report.has_mistakes
    assert 2 == len(report.lines)
    for line in report.lines:
        assert "cannot pass:\n  nothing-proven: " in line


def test_an_experiment_of_others_is_left_to_them(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps({"title": "t", "description": "d", "method": []}))

    (line,) = lint_files([str(tmp_path / "one.json")], str(ROOT / "pipelines" / "lab.yaml")).lines

    assert line.endswith(": ok")
