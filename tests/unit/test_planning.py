"""Plans: targets resolved, problems named, nothing sent to the engine."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from k2chaos.errors import ExperimentError
from k2chaos.planning import Plan, plan_experiment, print_plan
from tests.fakes.runtime import FakeRuntime

LAB = Path(__file__).parents[2] / "pipelines" / "lab.yaml"
CONTROL = {"name": "k2chaos", "provider": {"type": "python", "module": "k2chaos.controls"}}


@pytest.fixture(autouse=True)
def _no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan needs none."""
    for name in ("LAB_S3_KEY", "LAB_S3_SECRET", "K2_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def plan(folder: Path, runtime: FakeRuntime, function: str, *more: Any, **arguments: Any) -> Plan:
    provider = {
        "type": "python",
        "module": "k2chaos.actions",
        "func": function,
        "arguments": arguments,
    }
    tree = {
        "title": "a claim",
        "description": "d",
        "controls": [CONTROL],
        "configuration": {"seconds": 7},
        "method": [{"type": "action", "name": "break it", "provider": provider}, *more],
    }
    (folder / "one.json").write_text(json.dumps(tree))
    return plan_experiment(str(folder / "one.json"), str(LAB), runtime)


def test_a_plan_names_the_container_and_touches_nothing(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    runtime.add("consumer-crypto")
    runtime.add("kafka")

    resolved = plan(tmp_path, runtime, "pause", role="sink", duration="${seconds}")
    output = io.StringIO()
    print_plan(resolved, output)

    assert resolved.can_run
    assert "break it: pause(role=sink, duration=7)" in output.getvalue()
    assert "target: consumer-crypto (now running)" in output.getvalue()
    assert runtime.sent == []


def test_a_plan_names_the_target_of_an_action_whose_fault_has_another_spelling(
    tmp_path: Path,
) -> None:
    runtime = FakeRuntime()
    runtime.add("consumer-crypto")

    (step,) = plan(tmp_path, runtime, "squeeze_cpu", role="sink").steps

    assert ["consumer-crypto"] == [target.name for target in step.targets]


def test_a_plan_of_what_the_host_cannot_do_cannot_run_and_says_why(tmp_path: Path) -> None:
    runtime = FakeRuntime(able=frozenset())
    runtime.add("consumer-crypto")

    resolved = plan(tmp_path, runtime, "squeeze_cpu", role="sink")

    assert not resolved.can_run
    assert "cannot limit CPU time" in resolved.steps[0].problem


def test_a_plan_of_a_fault_between_two_roles_shows_the_other_end(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    for service in ("consumer-crypto", "schema-registry-1", "schema-registry-2"):
        runtime.add(service)

    resolved = plan(tmp_path, runtime, "partition", role="sink", to="registry")
    output = io.StringIO()
    print_plan(resolved, output)

    assert resolved.can_run
    (step,) = resolved.steps
    assert ["schema-registry-1", "schema-registry-2"] == [one.name for one in step.peers]
    assert "   target: consumer-crypto (now running)\n" in output.getvalue()
    assert "   other end: schema-registry-2 (now running)\n" in output.getvalue()
    assert [] == runtime.sent


def test_a_plan_names_one_service_of_the_other_end_where_it_is_asked_for(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    for service in ("consumer-crypto", "schema-registry-1", "schema-registry-2"):
        runtime.add(service)
    arguments = {"role": "sink", "to": "registry", "to_service": "schema-registry-2"}

    (step,) = plan(tmp_path, runtime, "partition", **arguments).steps

    assert ["schema-registry-2"] == [one.name for one in step.peers]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_plan_whose_other_end_is_down_or_missing_cannot_run(
    tmp_path: Path, *, is_there: bool
) -> None:
    runtime = FakeRuntime()
    runtime.add("consumer-crypto")
    if is_there:
        runtime.send(runtime.add("kafka"), "kill")

    (step,) = plan(tmp_path, runtime, "partition", role="sink", to="broker").steps

    expected = "not running: kafka" if is_there else "no container answers to role broker (kafka)"
    assert step.problem.startswith(expected)


def test_a_plan_asks_the_engine_once_what_it_can_do(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    runtime.add("consumer-crypto")

    plan(tmp_path, runtime, "crash", {"ref": "break it"}, role="sink")
    plan(tmp_path, runtime, "pause", role="sink")

    assert [{"host-pid"}] == runtime.asked


def test_a_plan_shows_what_a_reference_stands_for(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    runtime.add("consumer-crypto")

    resolved = plan(tmp_path, runtime, "pause", {"ref": "break it"}, role="sink")

    assert ["pause", "pause"] == [step.action for step in resolved.steps]


def test_a_plan_whose_target_is_not_there_cannot_run(tmp_path: Path) -> None:
    resolved = plan(tmp_path, FakeRuntime(), "kill", role="sink")

    assert not resolved.can_run
    assert "no container answers" in resolved.steps[0].problem


def test_a_plan_whose_target_is_paused_already_cannot_run(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    runtime.send(runtime.add("consumer-crypto"), "pause")

    resolved = plan(tmp_path, runtime, "pause", role="sink", duration=3)

    assert resolved.steps[0].problem == "not running: consumer-crypto"


def test_a_plan_of_a_file_with_mistakes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="is no role"):
        plan(tmp_path, FakeRuntime(), "pause", role="brokr")


def test_a_plan_of_a_fault_on_a_stage_that_is_not_there_cannot_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = plan(tmp_path, FakeRuntime(), "stall_feed")
    small = tmp_path / "small.yaml"
    small.write_text(LAB.read_text().replace("exchange: {control", "# {control"))
    monkeypatch.setattr(f"{__name__}.LAB", small)

    (step,) = plan(tmp_path, FakeRuntime(), "stall_feed").steps

    assert whole.can_run
    assert "pipeline lab has no exchange" == step.problem
