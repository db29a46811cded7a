"""
What makes a run inconclusive and can be told before it: no mistake, and nothing to wait for.

Each line begins with the code of the verdict's rule that will say so.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from k2chaos.evidence.declared import Part, declared
from k2chaos.lint.arguments import DOORS, Scope, import_door
from k2chaos.pipeline import Pipeline
from k2chaos.system.faults.catalogue import ACTIONS, kind_of_action


def foreseen(tree: Mapping[Any, Any], pipeline: Pipeline | None) -> tuple[str, ...]:
    """The reasons that are certain, of an experiment that `lint_experiment` finds right."""
    hypothesis = tree.get("steady-state-hypothesis") or {}
    scope = Scope(tree.get("configuration") or {}, frozenset(), pipeline, import_door)
    told = []
    if not any(_kind(one) for one in _providers(tree, "method")):
        told.append("nothing-proven: no fault stands in its method")
    if not hypothesis.get("probes"):
        told.append("hypothesis-untested: it has no hypothesis that could be tested")
    if pipeline and (lacking := tuple(dict.fromkeys(_lacking(tree, pipeline, scope)))):
        told.append(f"unsupported: pipeline {pipeline.name} has no {', no '.join(lacking)}")
    return tuple(told)


def _lacking(tree: Mapping[Any, Any], pipeline: Pipeline, scope: Scope) -> Iterator[str]:
    """The roles and stages that the experiment names and the pipeline file does not."""
    for provider in (*_providers(tree, "method"), *_providers(tree, "rollbacks"), *_probes(tree)):
        arguments = _arguments(provider, scope)
        kind = _kind(provider)
        for role in (arguments.get("role"), arguments.get("to")):
            if isinstance(role, str) and role not in pipeline.services:
                yield f"role {role}"
        for stage in (arguments.get("stage"), getattr(kind, "stage", None)):
            if isinstance(stage, str) and stage not in pipeline.stages:
                yield f"stage {stage}"


def _arguments(provider: Mapping[Any, Any], scope: Scope) -> Mapping[str, Any]:
    """What one of our own functions is called with, defaults included, as far as it is known."""
    if provider.get("module") not in DOORS:
        return {}
    function = getattr(import_door(provider["module"]), str(provider.get("func")), None)
    if function is None:
        return {}
    given = provider.get("arguments") or {}
    parameters = inspect.signature(function).parameters
    return {
        name: scope.resolve(given.get(name, parameter.default), "", [])
        for name, parameter in parameters.items()
    }


def _kind(provider: Mapping[Any, Any]) -> type[Any] | None:
    """What kind of fault or injection the provider's action holds; ``None`` for none."""
    return kind_of_action(str(provider.get("func"))) if provider.get("module") == ACTIONS else None


def _providers(tree: Mapping[Any, Any], part: Part) -> Iterator[Mapping[Any, Any]]:
    return (activity.get("provider") or {} for activity in declared(tree, part))


def _probes(tree: Mapping[Any, Any]) -> Iterator[Mapping[Any, Any]]:
    """The hypothesis: its probes, and the probes that judge what these return."""
    hypothesis = tree.get("steady-state-hypothesis") or {}
    for probe in hypothesis.get("probes") or ():
        yield probe.get("provider") or {}
        tolerance = probe.get("tolerance")
        if isinstance(tolerance, Mapping):
            yield tolerance.get("provider") or {}
