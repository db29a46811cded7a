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
    "func, what, arguments",
    [
        ("fail_names", '"maybe" is no answer', {"role": "sink", "answer": "maybe"}),
        ("limit_bandwidth", "from 16 to 40000", {"kbit_per_second": 15}),
        ("reset_connections", "from 0.1 to 60", {"every_seconds": 0}),
        ("reorder_packets", "from 1 to 4000", {"milliseconds": 0}),
        ("reorder_packets", "from 2 to 90", {"percent": 95}),
        ("reorder_packets", "more than 2", {"milliseconds": 1.5}),
        ("delay_packets", "may be half", {"milliseconds": 10, "jitter_milliseconds": 6}),
        ("delay_packets", "nobody could tell", {"milliseconds": 3500}),
        ("duplicate_packets", "at least 2", {"percent": 1}),
        ("duplicate_packets", "to 100", {"percent": 101}),
        ("partition", "nope", {"service": "nope"}),
        ("partition", "nope", {"to_service": "nope"}),
        ("black_hole", "must be another role", {"to": "sink"}),
    ],
)
def test_what_cannot_be_asked_is_one_mistake(
    func: str, what: str, arguments: dict[str, Any]
) -> None:
    ends = {"role": "sink"} if func == "fail_names" else {"role": "sink", "to": "broker"}

    (mistake,) = _mistakes(func, **{**ends, **arguments})

    assert what in mistake


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
