"""What of a network fault's arguments is refused before an experiment runs."""

import json
from typing import Any

import pytest

from k2chaos.lint import lint_experiment
from tests.fakes.pipelines import ROOT, lab_pipeline


def _mistakes(func: str, **arguments: Any) -> tuple[str, ...]:
    tree = json.loads((ROOT / "experiments" / "source-pause.json").read_text())
    tree["method"][0]["provider"] |= {"func": func, "arguments": arguments}
    return lint_experiment(tree, lab_pipeline())


def test_a_partition_of_two_roles_is_no_mistake() -> None:
    assert () == _mistakes("partition", role="sink", to="broker", direction="out", duration=5)


def test_more_than_all_packets_cannot_be_lost() -> None:
    (mistake,) = _mistakes("lose_packets", role="sink", to="broker", percent=101)

    assert "to 100" in mistake


@pytest.mark.parametrize(
    "what, arguments",
    [
        ("must be another role", {"role": "sink", "to": "sink"}),
        ('"moon" is no role', {"role": "sink", "to": "moon"}),
        ("to: is missing", {"role": "sink"}),
        ('"up" is no direction', {"role": "sink", "to": "broker", "direction": "up"}),
    ],
)
def test_a_bad_partition_is_one_mistake(what: str, arguments: dict[str, Any]) -> None:
    (mistake,) = _mistakes("partition", **arguments)

    assert what in mistake
