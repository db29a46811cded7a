"""Mistakes of experiment files, each with its path."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from k2chaos.actions import await_recovery
from k2chaos.errors import UsageError
from k2chaos.lint import lint_experiment
from k2chaos.pipeline import Pipeline
from k2chaos.pipeline_file import load_pipeline

from .lint_doors import doors

SECRETS = {"LAB_S3_KEY": "key", "LAB_S3_SECRET": "secret", "K2_API_KEY": "api"}
LAB = Path(__file__).parents[2] / "pipelines" / "lab.yaml"

PROBE: dict[str, Any] = {
    "type": "probe",
    "name": "fresh",
    "tolerance": {"type": "range", "range": [0, 30]},
    "provider": {
        "type": "python",
        "module": "k2chaos.probes",
        "func": "freshness_seconds",
        "arguments": {"stage": "api"},
    },
}
ACTION: dict[str, Any] = {
    "type": "action",
    "name": "freeze",
    "provider": {
        "type": "python",
        "module": "k2chaos.actions",
        "func": "pause",
        "arguments": {"role": "sink", "duration": 20},
    },
}
GOOD: dict[str, Any] = {
    "title": "a claim",
    "description": "why",
    "configuration": {"seconds": 20, "word": "long", "late": {"type": "env", "key": "LATE"}},
    "controls": [{"name": "k2chaos", "provider": {"type": "python", "module": "k2chaos.controls"}}],
    "steady-state-hypothesis": {"title": "it flows", "probes": [PROBE]},
    "method": [ACTION],
    "x-note": "ours to ignore",
}


@pytest.fixture(scope="module")
def lab() -> Pipeline:
    return load_pipeline(LAB, SECRETS).pipeline


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good experiment with one place set to *value* (or removed, by ``...``)."""
    tree = copy.deepcopy(GOOD)
    node: Any = tree
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for part in parents:
        node = node[part]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return tree


BUDGETS: list[tuple[Any, str]] = [
    ({"fresh": 60}, "'fresh' is no phase; the phases are detected_seconds, service_seconds"),
    ({"fresh_seconds": 0}, "fresh_seconds must be a number of seconds above 0, not 0"),
    ({"flow_seconds": "60"}, "flow_seconds must be a number of seconds above 0, not '60'"),
    ({"flow_seconds": True}, "flow_seconds must be a number of seconds above 0, not True"),
    ({"flow_seconds": float("inf")}, "flow_seconds must be a number of seconds above 0, not inf"),
    (60, 'must be an object such as {"fresh_seconds": 60}, not 60'),
]


def waiting(**arguments: Any) -> dict[str, Any]:
    provider = {**ACTION["provider"], "func": "await_recovery", "arguments": arguments}
    return changed("method/0", {"type": "action", "name": "wait", "provider": provider})


@pytest.mark.parametrize("budgets, expected", BUDGETS)
def test_a_budget_for_no_phase_or_of_no_time_is_a_mistake(
    budgets: Any, expected: str, lab: Pipeline
) -> None:
    (mistake,) = lint_experiment(waiting(budgets=budgets), lab)

    assert mistake.startswith(f"method[0].provider.arguments.budgets: {expected}")


@pytest.mark.parametrize("budgets, expected", BUDGETS)
def test_a_bad_budget_that_only_the_run_knows_is_refused_by_the_action(
    budgets: Any, expected: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(expected)):
        await_recovery(budgets=budgets)


def test_budgets_for_phases_are_no_mistake(lab: Pipeline) -> None:
    assert () == lint_experiment(waiting(budgets={"fresh_seconds": 60, "flow_seconds": 4.5}), lab)


def test_a_good_experiment_has_no_mistakes(lab: Pipeline) -> None:
    assert lint_experiment(GOOD, lab, doors=doors) == ()


ARGUMENTS = "method/0/provider/arguments"
TOLERANCE = "steady-state-hypothesis/probes/0/tolerance"
MISTAKES: list[tuple[str, Any, str]] = [
    ("title", ..., "title: is missing"),
    ("title", "", "title: must be a text that is not empty"),
    ("description", ..., "description: is missing"),
    ("metod", [], "metod: unknown key; did you mean method?"),
    ("method", ..., "method: is missing; it lists what is done"),
    ("method", {}, "method: a list is expected"),
    ("method/0", "pause", "method[0]: an object is expected"),
    ("method/0/backgroud", True, "method[0].backgroud: unknown key; did you mean background?"),
    ("method/0/background", "yes", "method[0].background: must be true or false"),
    ("method/0/name", ..., "method[0].name: is missing"),
    ("method/0/type", "aktion", "method[0].type: must be probe or action"),
    ("method/0/type", "probe", "method[0].provider.module: k2chaos.actions needs"),
    ("method/0/tolerance", 3, "method[0].tolerance: is judged in the hypothesis only"),
    ("method/0/pauses", {"befor": 3}, "method[0].pauses.befor: unknown key; did you mean before"),
    ("method/0/pauses", {"after": "3"}, "method[0].pauses.after: seconds, a number from 0 up"),
    ("method/0/pauses", 3, "method[0].pauses: an object with before or after is expected"),
    ("method/0/provider", ..., "method[0].provider: is missing"),
    ("method/0/provider", [], "method[0].provider: an object is expected"),
    ("method/0/provider/type", "pyton", "method[0].provider.type: must be one of python"),
    ("method/0/provider/funk", "x", "method[0].provider.funk: unknown key; did you mean func?"),
    ("method/0/provider/module", ..., "method[0].provider.module: is missing"),
    (
        "method/0/provider/module",
        "k2chaos.action",
        (
            "method[0].provider.module: k2chaos has no module k2chaos.action; did you mean "
            "k2chaos.actions?"
        ),
    ),
    ("method/0/provider/func", ..., "method[0].provider.func: is missing; k2chaos.actions has"),
    (
        "method/0/provider/func",
        "pauze",
        "method[0].provider.func: k2chaos.actions has no pauze; did you mean pause?",
    ),
    (ARGUMENTS, [], "method[0].provider.arguments: an object is expected"),
    (ARGUMENTS, {}, "method[0].provider.arguments.role: is missing"),
    (
        f"{ARGUMENTS}/durration",
        3,
        "method[0].provider.arguments.durration: unknown argument; did you mean duration?",
    ),
    (f"{ARGUMENTS}/role", "brokr", 'method[0].provider.arguments.role: "brokr" is no role; the'),
    (f"{ARGUMENTS}/role", 3, "method[0].provider.arguments.role: must be text, not 3"),
    (f"{ARGUMENTS}/duration", -1, "method[0].provider.arguments.duration: must be above 0"),
    (f"{ARGUMENTS}/duration", 0, "method[0].provider.arguments.duration: must be above 0"),
    (
        f"{ARGUMENTS}/duration",
        "20",
        'method[0].provider.arguments.duration: must be a number, not the text "20"',
    ),
    (f"{ARGUMENTS}/duration", True, "method[0].provider.arguments.duration: must be a number"),
    (f"{ARGUMENTS}/duration", None, "method[0].provider.arguments.duration: must be a number"),
    (
        f"{ARGUMENTS}/duration",
        float("nan"),
        "method[0].provider.arguments.duration: must be a number, not nan",
    ),
    (
        f"{ARGUMENTS}/duration",
        601,
        (
            "method[0].provider.arguments.duration: 601 s is above the pipeline's "
            "limits.longest_fault_seconds, 600"
        ),
    ),
    (
        f"{ARGUMENTS}/count",
        4,
        "method[0].provider.arguments.count: 4 at once is above limits.faults_at_once, 3",
    ),
    (
        f"{ARGUMENTS}/duration",
        "${second}",
        "method[0].provider.arguments.duration: ${second} is not in the experiment's configuration",
    ),
    (
        f"{ARGUMENTS}/duration",
        "${word}",
        'method[0].provider.arguments.duration: must be a number, not the text "long"',
    ),
    (
        "method/0/provider",
        {
            **ACTION["provider"],
            "func": "freeze_process",
            "arguments": {"role": "sink", "process": " "},
        },
        "method[0].provider.arguments.process: must not be empty",
    ),
    (
        "method/0/provider",
        {**ACTION["provider"], "func": "duplicate_trades", "arguments": {"percent": 100.5}},
        "method[0].provider.arguments.percent: must be a number from 0.1 to 100, not 100.5",
    ),
    (
        "method/0/provider",
        {**ACTION["provider"], "func": "duplicate_trades", "arguments": {"percent": "ten"}},
        'method[0].provider.arguments.percent: must be a number, not the text "ten"',
    ),
    (f"{ARGUMENTS}/count", 0, "method[0].provider.arguments.count: must be above 0, not 0"),
    (f"{ARGUMENTS}/count", 1.5, "method[0].provider.arguments.count: must be a whole number"),
    (
        "steady-state-hypothesis/probes/0/provider/arguments/stage",
        "tabel",
        'steady-state-hypothesis.probes[0].provider.arguments.stage: "tabel" is no stage',
    ),
    ("steady-state-hypothesis", [], "steady-state-hypothesis: an object is expected"),
    ("steady-state-hypothesis/title", ..., "steady-state-hypothesis.title: is missing"),
    (TOLERANCE, ..., "steady-state-hypothesis.probes[0].tolerance: is missing"),
    (TOLERANCE, True, "steady-state-hypothesis.probes[0].tolerance: a number, [low, high]"),
    (TOLERANCE, {"type": "rang"}, "steady-state-hypothesis.probes[0].tolerance.type: must be one"),
    (
        TOLERANCE,
        {"type": "range", "range": [0]},
        "steady-state-hypothesis.probes[0].tolerance.range: two numbers",
    ),
    (
        TOLERANCE,
        {"type": "range", "range": [30, 0]},
        "steady-state-hypothesis.probes[0].tolerance.range: 30 is above 0",
    ),
    ("controls", ..., "controls: k2chaos.controls is missing, without which there is neither"),
    ("controls/0/scope", "during", "controls[0].scope: must be before or after"),
    ("controls/0/name", ..., "controls[0].name: is missing"),
    ("controls/0/nam", 1, "controls[0].nam: unknown key; did you mean name?"),
    ("runtime", [], "runtime: an object is expected"),
    ("runtime", {"rollbacks": 1}, "runtime.rollbacks: an object is expected"),
    (
        "runtime",
        {"rollbacks": {"strategy": "allways"}},
        "runtime.rollbacks.strategy: must be one of default, always",
    ),
    ("rollbacks", [{**ACTION, "name": "r"}], 'runtime.rollbacks.strategy: must be "always"'),
    (
        "rollbacks",
        [ACTION],
        'rollbacks[0].name: "freeze" is already the name of method[0]',
    ),
    ("method/0", {"ref": "frezze"}, "method[0].ref: no activity has this name"),
]


@pytest.mark.parametrize(
    "path,value,mistake", MISTAKES, ids=[mistake[:60] for _, _, mistake in MISTAKES]
)
def test_a_mistake_is_told_with_its_path(
    lab: Pipeline, path: str, value: Any, mistake: str
) -> None:
    mistakes = lint_experiment(changed(path, value), lab, doors=doors)

    assert any(one.startswith(mistake) for one in mistakes), mistakes


@pytest.mark.parametrize(
    "path,value",
    [
        (f"{ARGUMENTS}/duration", "${seconds}"),
        (f"{ARGUMENTS}/duration", "${late}"),
        (f"{ARGUMENTS}/service", None),
        ("method/0/provider/func", "kill"),
        (TOLERANCE, [0, 30]),
        (TOLERANCE, 4),
        (
            TOLERANCE,
            {
                "type": "probe",
                "name": "judge",
                "provider": {
                    "type": "python",
                    "module": "k2chaos.tolerances",
                    "func": "within",
                    "arguments": {"limits": [0, 1], "strict": True},
                },
            },
        ),
        ("method/0", {"ref": "fresh"}),
        ("dry", None),
    ],
)
def test_what_is_allowed_is_no_mistake(lab: Pipeline, path: str, value: Any) -> None:
    assert lint_experiment(changed(path, value), lab, doors=doors) == ()


def test_all_mistakes_are_told_at_once(lab: Pipeline) -> None:
    tree = changed(ARGUMENTS, {"role": "brokr", "duration": -1, "cuont": 2})
    del tree["title"]

    assert len(lint_experiment(tree, lab, doors=doors)) == 4


def test_a_variable_given_on_the_command_line_is_what_is_judged(lab: Pipeline) -> None:
    tree = changed(f"{ARGUMENTS}/duration", "${seconds}")

    assert lint_experiment(tree, lab, {"seconds": 30}, doors) == ()
    assert "must be above 0" in lint_experiment(tree, lab, {"seconds": -3}, doors)[0]


def test_a_fault_of_no_length_is_allowed_where_that_is_the_default(lab: Pipeline) -> None:
    tree = changed("method/0/provider/func", "kill")
    tree["method"][0]["provider"]["arguments"]["duration"] = 0

    assert lint_experiment(tree, lab, doors=doors) == ()


def test_a_role_that_the_pipeline_lacks_is_no_mistake_of_the_file(lab: Pipeline) -> None:
    k2 = LAB.with_name("k2.yaml")
    pipeline = load_pipeline(k2, {"K2_S3_KEY": "", "K2_S3_SECRET": "", "K2_API_KEY": ""}).pipeline

    assert lint_experiment(changed(f"{ARGUMENTS}/role", "exchange"), pipeline, doors=doors) == ()


def test_an_experiment_without_k2chaos_needs_no_control() -> None:
    tree = {"title": "t", "description": "d", "method": []}

    assert lint_experiment(tree, None, doors=doors) == ()


KEYS = st.sampled_from(
    ["title", "method", "name", "type", "provider", "module", "func", "arguments", "tolerance",
     "range", "controls", "rollbacks", "runtime", "strategy", "steady-state-hypothesis", "probes",
     "configuration", "secrets", "ref", "pauses", "before", "role", "duration", "stage", "count"]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        ["python", "probe", "action", "range", "k2chaos.actions", "k2chaos.probes", "pause",
         "kill", "freshness_seconds", "sink", "${seconds}", "${", "always"]
    ),
)  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda children: st.one_of(
        st.lists(children, max_size=3),
        st.dictionaries(st.one_of(KEYS, st.text(max_size=3), st.integers()), children, max_size=6),
    ),
    max_leaves=30,
)


PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@PATIENT
@given(tree=st.dictionaries(KEYS, JSON))
def test_lint_never_raises_and_always_answers_in_lines(tree: dict[str, Any]) -> None:
    for mistake in lint_experiment(tree, None, doors=doors):
        where, _, what = mistake.partition(": ")
        assert where
        assert what


@PATIENT
@given(value=JSON, path=st.sampled_from([path for path, _, _ in MISTAKES if path != "dry"]))
def test_lint_never_raises_whatever_stands_in_one_place(value: Any, path: str) -> None:
    lint_experiment(changed(path, value), None, doors=doors)
