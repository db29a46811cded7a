"""Pipeline files and experiments as people, and as nobody, would write them."""

import inspect
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from k2chaos import actions
from k2chaos.pipeline import ROLES
from k2chaos.system.faults.catalogue import kind_of_action
from tests.fakes.pipelines import lab_tree

SERVICES = ("kafka", "kafka-1", "api", "api-gateway", "web")
_RARE = 11  # neither small nor a bound, which Hypothesis prefers
PROJECTS = ("k2-lab", "k2-lab-2", "production", "other")
"""Each has a container of every service, so that only the project tells them apart."""

_names = st.sampled_from(
    (
        *SERVICES,
        *PROJECTS,
        *ROLES,
        "Kafka",
        "kafka ",
        "*",
        ".*",
        "kaf",
        "",
        "k2-lab_kafka_1",
        "ghost",
    )
)
_numbers = st.one_of(
    st.sampled_from(
        (1, 1, 1, 5, 5, 2, 3, 5.0, 0.5, 60, 0, -1, 10**9, 1e308, float("nan"), float("inf"))
    ),
    st.floats(0, 200),
)
_odd = st.one_of(
    st.none(), st.booleans(), st.text(max_size=4), _numbers, st.lists(_names, max_size=2),
    st.dictionaries(_names, _names, max_size=1),
)  # fmt: skip
_LAB = lab_tree()
_CONTROL = {"type": "python", "module": "k2chaos.controls"}
FAULTS = tuple(
    name
    for name in actions.__all__
    if kind_of_action(name) and "role" in inspect.signature(getattr(actions, name)).parameters
)


def _mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Fifteen times out of sixteen what fits."""
    return st.integers(0, 15).flatmap(lambda one: _odd if one == _RARE else usual)


_MEANT: dict[str, st.SearchStrategy[Any]] = {
    "service": st.one_of(st.just(""), _names),
    "count": st.sampled_from((1, 1, 1, 2, 2, 2, 3, 6, 10**9, 0, -1)),
    "duration": _numbers,
    "start_after": st.sampled_from((0, 0, 0, 0, 1, 3600, 3601)),
    "to_service": st.one_of(st.just(""), _names),
    "direction": st.sampled_from(("both", "out", "in", "up")),
    "answer": st.sampled_from(("error", "silence", "maybe")),
    "process": st.sampled_from(("java", "sh", "python", "", "1", "; reboot", "-1")),
}


@st.composite
def pipelines(draw: st.DrawFn) -> dict[str, Any]:
    """The tree of a pipeline file of some project, that lists some services and forbids some."""
    roles = draw(st.lists(st.sampled_from(ROLES), min_size=1, max_size=4, unique=True))
    listed = st.lists(
        st.sampled_from((*SERVICES, *SERVICES, *PROJECTS, "Kafka", "kafka ", "*", ".*", "kaf")),
        min_size=1,
        max_size=2,
    )
    services = {role: draw(st.one_of(st.sampled_from(SERVICES), listed)) for role in roles}
    never = draw(st.lists(st.sampled_from((*SERVICES, *SERVICES, "*", "ghost")), max_size=2))
    limits = {"faults_at_once": 30, "impaired_services_at_once": 9, "never": never}
    if draw(st.booleans()):
        limits["faults_at_once"] = draw(_mostly(st.integers(1, 3)))
    project = draw(_mostly(st.sampled_from(PROJECTS)))
    return {**_LAB, "services": services, "limits": limits, "compose": {"project": project}}


@st.composite
def _calls(draw: st.DrawFn, roles: tuple[str, ...], funcs: Sequence[str]) -> dict[str, Any]:
    func = draw(st.sampled_from(funcs))
    meant = {**_MEANT, "role": st.sampled_from((*roles, *roles, *roles, *ROLES))}
    meant["to"] = meant["role"]
    parameters = inspect.signature(getattr(actions, func)).parameters
    names = [name for name in parameters if name not in ("configuration", "secrets")]
    required = [name for name in names if parameters[name].default is inspect.Parameter.empty]
    optional = draw(st.lists(st.sampled_from((*names, "count", "service")), max_size=2))
    arguments = {
        name: draw(_mostly(meant.get(name, _numbers)))
        for name in dict.fromkeys((*required, *optional))
    }
    if draw(st.integers(0, 31)) == _RARE:
        arguments[draw(_names)] = draw(_odd)
    provider = {"type": "python", "module": "k2chaos.actions", "func": func, "arguments": arguments}
    return {
        "type": "action", "name": draw(st.text(max_size=2)), "provider": provider,
        "background": draw(st.booleans()),
    }  # fmt: skip


@st.composite
def pairs(draw: st.DrawFn, funcs: Sequence[str] = FAULTS) -> tuple[dict[str, Any], dict[str, Any]]:
    """A pipeline file, and an experiment with one to three actions of *funcs*."""
    pipeline = draw(pipelines())
    method = draw(st.lists(_calls((*pipeline["services"],), funcs), min_size=1, max_size=3))
    experiment = {
        "title": "t",
        "description": "d",
        "controls": [{"name": "k2chaos", "provider": _CONTROL}],
        "method": [{"name": f"a{n}", **one} for n, one in enumerate(method)],
    }
    return pipeline, experiment
