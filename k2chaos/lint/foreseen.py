"""
Why a run cannot pass, as far as that can be told before it: no mistake, and nothing to wait for.

Each line begins with the code of the verdict's rule that will say so. Only what stands in the file
as it is counts: what a ``${variable}`` will be, nobody knows before the run.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from k2chaos.evidence.declared import Part, declared
from k2chaos.lint.arguments import DOORS, called_with, import_door
from k2chaos.pipeline import Pipeline
from k2chaos.system.faults.catalogue import kind_of_provider

_TESTED_BOTH_TIMES: Final = ("default", "continuously")
"""The strategies by which upstream tests the hypothesis before the method and after it."""


def foreseen(tree: Mapping[Any, Any], pipeline: Pipeline | None) -> tuple[str, ...]:
    """The reasons that are certain, of an experiment that `lint_experiment` finds right."""
    told = [*_of_faults(tree)]
    if pipeline and (lacking := tuple(dict.fromkeys(_lacking(tree, pipeline)))):
        told.append(f"unsupported: pipeline {pipeline.name} has no {', no '.join(lacking)}")
    return tuple(told)


def _of_faults(tree: Mapping[Any, Any]) -> Iterator[str]:
    is_in_method, is_in_rollbacks = (
        any(kind_of_provider(one) for one in _providers(tree, part))
        for part in ("method", "rollbacks")
    )
    if is_in_rollbacks:
        yield "fault-outside-method: a fault stands in its rollbacks"
    elif not is_in_method:
        yield "nothing-proven: no fault stands in its method"
    if not is_in_method:
        return
    strategy = ((tree.get("runtime") or {}).get("hypothesis") or {}).get("strategy", "default")
    if not (tree.get("steady-state-hypothesis") or {}).get("probes"):
        yield "hypothesis-untested: it has no hypothesis that could be tested"
    elif strategy not in _TESTED_BOTH_TIMES:
        yield f"hypothesis-untested: by {strategy} it is not tested before and after the method"


def _lacking(tree: Mapping[Any, Any], pipeline: Pipeline) -> Iterator[str]:
    """The roles and stages that the experiment names and the pipeline file does not."""
    for provider in (*_providers(tree, "method"), *_providers(tree, "rollbacks"), *_probes(tree)):
        arguments = _arguments(provider)
        for role in (arguments.get("role"), arguments.get("to")):
            if _is_certain(role) and role not in pipeline.services:
                yield f"role {role}"
        for stage in (arguments.get("stage"), getattr(kind_of_provider(provider), "stage", None)):
            if _is_certain(stage) and stage not in pipeline.stages:
                yield f"stage {stage}"


def _is_certain(value: Any) -> bool:
    return isinstance(value, str) and "${" not in value


def _arguments(provider: Mapping[Any, Any]) -> Mapping[str, Any]:
    """What one of our own functions is called with, defaults included."""
    if provider.get("type") != "python" or provider.get("module") not in DOORS:
        return {}
    function = getattr(import_door(provider["module"]), str(provider.get("func")), None)
    return {} if function is None else called_with(function, provider)


def _providers(tree: Mapping[Any, Any], part: Part) -> Iterator[Mapping[Any, Any]]:
    return (activity.get("provider") or {} for activity in declared(tree, part))


def _probes(tree: Mapping[Any, Any]) -> Iterator[Mapping[Any, Any]]:
    """The hypothesis: its probes, and the probes that judge what these return."""
    hypothesis = tree.get("steady-state-hypothesis") or {}
    for probe in hypothesis.get("probes") or ():
        yield probe.get("provider") or {}
        tolerance = probe.get("tolerance")
        is_probe = isinstance(tolerance, Mapping) and tolerance.get("type") == "probe"
        if is_probe and "ref" not in tolerance:
            yield tolerance.get("provider") or {}
