"""Faults of one method that cannot be held together: refused before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from k2chaos.experiment_file import read_experiment
from k2chaos.lint import lint_experiment
from tests.fakes.pipelines import ROOT, lab_pipeline
from tests.unit.test_lint import GOOD


def action(func: str, name: str = "", **arguments: Any) -> dict[str, Any]:
    provider = {"type": "python", "module": "k2chaos.actions", "func": func, "arguments": arguments}
    return {"type": "action", "name": name or func, "provider": provider}


def behind(activity: dict[str, Any], **pauses: float) -> dict[str, Any]:
    return {**activity, "background": True, "pauses": pauses}


def mistakes(*method: dict[str, Any]) -> list[str]:
    found = lint_experiment({**GOOD, "method": [*method]}, lab_pipeline())
    assert [] == [one for one in found if "would be held together" not in one]
    return [*found]


PAUSE = action("pause", role="sink", duration=10)
KILL = action("kill", role="sink", duration=5)
NAP = {
    "type": "action",
    "name": "nap",
    "provider": {"type": "process", "path": "sleep", "arguments": "20"},
}
PROBE = {**GOOD["steady-state-hypothesis"]["probes"][0], "name": "look"}
del PROBE["tolerance"]

TOGETHER = {
    "two of one role": [behind(PAUSE), KILL],
    "the other way round": [behind(KILL), PAUSE],
    "both in the background": [behind(PAUSE), behind(KILL)],
    "a probe between them": [behind(PAUSE), PROBE, KILL],
    "a pause too short": [behind(PAUSE), {**KILL, "pauses": {"before": 9}}],
    "a pause of the background's own": [behind(PAUSE, before=5), {**KILL, "pauses": {"before": 8}}],
    "a later start": [behind(action("pause", role="sink", duration=5, start_after=8)),
                      {**KILL, "pauses": {"before": 10}}],
    "a grace period": [behind(action("stop", role="sink", duration=1, grace=10)),
                       {**KILL, "pauses": {"before": 8}}],
    "a frozen process": [behind(action("freeze_process", role="sink", process="java")), KILL],
    "by reference": [behind(PAUSE), {"ref": "pause"}],
    "in the background by reference": [PAUSE, {"ref": "pause", "background": True}, KILL],
    "two squeezes": [behind(action("squeeze_cpu", "one", role="sink")),
                     action("squeeze_cpu", "two", role="sink", cores=0.2)],
    "what would start it again": [behind(action("kill", role="sink", duration=20)),
                                  action("squeeze_memory", role="sink")],
    "two delays": [behind(action("delay_packets", "one", role="sink", to="broker")),
                   action("delay_packets", "two", role="sink", to="registry")],
    "two quotas": [behind(action("starve_writes", "one")), action("starve_writes", "two")],
    "a stranger and an impostor": [behind(action("join_group")), action("impersonate_sink")],
    "one service of the role": [behind(action("pause", role="registry", count=2)),
                                action("kill", role="registry", service="schema-registry-1")],
}  # fmt: skip
APART = {
    "one after the other": [PAUSE, KILL],
    "another role": [behind(PAUSE), action("kill", role="source")],
    "a pause that is long enough": [behind(PAUSE), {**KILL, "pauses": {"before": 11}}],
    "a squeeze and a pause": [behind(PAUSE), action("squeeze_cpu", role="sink")],
    "a restart under a squeeze": [
        behind(action("squeeze_memory", role="sink", duration=20)),
        action("restart", role="sink"),
    ],
    "a delay and a loss": [
        behind(action("delay_packets", role="sink", to="broker")),
        action("lose_packets", role="sink", to="broker"),
    ],
    "a quota and an impostor": [behind(action("starve_writes")), action("impersonate_sink")],
    "nobody knows how long": [behind(PAUSE), NAP, KILL],
    "after the recovery": [behind(PAUSE), action("await_recovery"), KILL],
    "two services of one role": [
        behind(action("pause", role="registry", service="schema-registry-1")),
        action("kill", role="registry", service="schema-registry-2"),
    ],
}


@pytest.mark.parametrize("method", TOGETHER.values(), ids=TOGETHER)
def test_what_cannot_be_held_together_is_refused(method: list[dict[str, Any]]) -> None:
    (mistake,) = mistakes(*method)

    assert mistake.startswith(f"method[{len(method) - 1}]: would be held together with method[")


@pytest.mark.parametrize("method", APART.values(), ids=APART)
def test_what_can_is_not(method: list[dict[str, Any]]) -> None:
    assert [] == mistakes(*method)


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.json")), ids=str)
def test_no_experiment_of_ours_is_refused(path: Path) -> None:
    assert () == lint_experiment(read_experiment(str(path)).tree, lab_pipeline())


def test_what_stands_beside_a_reference_and_would_be_ignored_is_told() -> None:
    tree = {**GOOD, "method": [PAUSE, {"ref": "pause", "pauses": {"after": 5}}]}

    (mistake,) = lint_experiment(tree, lab_pipeline())
    assert mistake.startswith("method[1].pauses: stands beside ref, and would be ignored")


def test_a_misspelt_reference_is_told_with_a_suggestion() -> None:
    tree = {**GOOD, "method": [PAUSE, {"ref": "pauze"}]}

    assert ("method[1].ref: no activity has this name; did you mean pause?",) == lint_experiment(
        tree, lab_pipeline()
    )


def test_a_start_after_more_than_an_hour_is_refused() -> None:
    late = action("pause", role="sink", duration=1, start_after=3601)

    (mistake,) = lint_experiment({**GOOD, "method": [late]}, lab_pipeline())
    assert "start_after: must lie between 0 and 3600 seconds, not 3601" in mistake


@pytest.mark.parametrize(
    "service, func",
    [("exchange", "stall_feed"), ("kafka", "starve_writes"), ("kafka", "poison_records"),
     ("consumer-crypto", "impersonate_sink"), ("iceberg-rest", "conflict_commits")],
)  # fmt: skip
def test_what_the_pipeline_file_forbids_is_not_disturbed_through_its_stage(
    service: str, func: str
) -> None:
    tree = {**GOOD, "method": [action(func)]}

    (found,) = lint_experiment(tree, lab_pipeline(limits={"never": [service]}))

    told = f"limits.never of pipeline lab forbids touching {service}"
    assert f"method[0].provider.arguments: {told}" == found
    assert () == lint_experiment(tree, lab_pipeline(limits={"never": ["k2-query-api"]}))
