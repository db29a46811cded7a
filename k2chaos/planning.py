"""
What an experiment would do, to which containers, and what would undo it; touches nothing.

What a fault does and what undoes it stands with the fault; the targets are chosen by the same
`select` that the run will use.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TextIO

from k2chaos.errors import ExperimentError, TargetError, UsageError
from k2chaos.evidence.declared import declared
from k2chaos.experiment_file import ExperimentFile, read_experiment
from k2chaos.lint import lint_experiment
from k2chaos.lint.arguments import Scope, import_door
from k2chaos.pipeline import Limits, Pipeline
from k2chaos.pipeline_file import find_pipeline_file, load_outline
from k2chaos.system.faults.catalogue import ACTIONS, kind_of_action
from k2chaos.system.faults.needs import abilities_for, why_not
from k2chaos.system.runtime import Container, Runtime, all_of, select


@dataclass(frozen=True, slots=True)
class Target:
    """A container and the state it is in now."""

    name: str
    status: str
    health: str


@dataclass(frozen=True, slots=True)
class Step:
    """
    One action of the method.

    Attributes:
        does: What is done to the targets; of an action that breaks nothing, its own first line.
        undone_by: What puts the targets back; empty where nothing has to.
        peers: The other end of a fault between two roles.
        problem: Why it could not be done now; empty where it could.
    """

    name: str
    action: str
    arguments: Mapping[str, Any]
    does: str
    undone_by: str = ""
    targets: tuple[Target, ...] = ()
    peers: tuple[Target, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps of one experiment on one pipeline."""

    name: str
    claim: str
    pipeline: str
    engine: str
    limits: Limits
    steps: tuple[Step, ...]

    @property
    def can_run(self) -> bool:
        """Whether every step could be done now."""
        return not any(step.problem for step in self.steps)


def plan_experiment(source: str, named_pipeline: str | None, runtime: Runtime) -> Plan:
    """
    Resolve the experiment file *source* against the engine.

    Raises:
        UsageError: The experiment or the pipeline file has mistakes.
    """
    file = read_experiment(source)
    path = find_pipeline_file(named_pipeline, os.environ, file.configured_pipeline)
    pipeline = load_outline(path)
    mistakes = lint_experiment(file.tree, pipeline)
    if mistakes:
        raise ExperimentError(source, mistakes)
    steps = tuple(_steps(file, pipeline, runtime))
    return Plan(file.name, file.claim, pipeline.name, runtime.engine, pipeline.limits, steps)


def print_plan(plan: Plan, output: TextIO) -> None:
    """Print *plan* for people."""
    lines = [
        f"{plan.name}: {plan.claim}",
        f"pipeline {plan.pipeline} on {plan.engine}; nothing is touched by this plan",
    ]
    for number, step in enumerate(plan.steps, start=1):
        lines += ["", *_step_lines(number, step)]
    lines += ["", _limits_line(plan.limits)]
    output.write("\n".join(lines) + "\n")


def _limits_line(limits: Limits) -> str:
    return (
        f"limits: {limits.faults_at_once} faults at once, {limits.longest_fault_seconds:g} s each, "
        f"{limits.impaired_services_at_once} services at once; "
        f"never: {', '.join(limits.never) or 'none'}"
    )


def _step_lines(number: int, step: Step) -> Iterator[str]:
    values = ", ".join(f"{key}={value}" for key, value in step.arguments.items())
    yield f"{number}. {step.name}: {step.action}({values})"
    yield f"   does: {step.does}"
    if step.undone_by:
        yield f"   undone by: {step.undone_by}"
    for word, found in (("target", step.targets), ("other end", step.peers)):
        for one in found:
            health = "" if one.health == "none" else f", {one.health}"
            yield f"   {word}: {one.name} (now {one.status}{health})"
    if step.problem:
        yield f"   cannot be done now: {step.problem}"


def _steps(file: ExperimentFile, pipeline: Pipeline, runtime: Runtime) -> Iterator[Step]:
    configuration = file.tree.get("configuration") or {}
    scope = Scope(configuration, frozenset(), pipeline, import_door)
    abilities = abilities_for(file.tree, runtime)
    for activity in declared(file.tree, "method"):
        provider = activity.get("provider", {})
        if provider.get("module") != ACTIONS:
            continue
        arguments = {
            name: scope.resolve(value, name, [])
            for name, value in provider.get("arguments", {}).items()
        }
        step = _step(activity["name"], provider["func"], arguments, abilities)
        yield step if step.problem or not step.undone_by else _met(step, pipeline, runtime)


def _step(name: str, action: str, arguments: Mapping[str, Any], abilities: Collection[str]) -> Step:
    kind = kind_of_action(action)
    if kind is None:
        return Step(name, action, arguments, _first_line(action))
    unable = why_not(kind.kind, abilities)
    return Step(name, action, arguments, kind.does, kind.undone_by, problem=unable)


def _met(step: Step, pipeline: Pipeline, runtime: Runtime) -> Step:
    """The step with the containers it would meet; one on an endpoint, which no engine knows."""
    arguments = step.arguments
    stage = getattr(kind_of_action(step.action), "stage", None)
    if stage is not None and stage not in pipeline.stages:
        return replace(step, problem=f"pipeline {pipeline.name} has no {stage}")
    if "role" not in arguments:
        return step
    service, count = arguments.get("service") or None, arguments.get("count", 1)
    try:
        found = select(runtime, pipeline, arguments["role"], service, count)
        others = (
            all_of(runtime, pipeline, arguments["to"], arguments.get("to_service") or None)
            if "to" in arguments
            else ()
        )
    except (TargetError, UsageError) as error:
        return replace(step, problem=str(error))
    targets, peers = (tuple(_seen(ones, runtime)) for ones in (found, others))
    idle = [one.name for one in (*targets, *peers) if one.status != "running"]
    problem = f"not running: {', '.join(idle)}" if idle else ""
    return replace(step, targets=targets, peers=peers, problem=problem)


def _seen(containers: Iterable[Container], runtime: Runtime) -> Iterator[Target]:
    for one in containers:
        state = runtime.state(one)
        yield Target(str(one), state.status, state.health)


def _first_line(action: str) -> str:
    door = import_door(ACTIONS)
    lines = (getattr(door, action).__doc__ or "").strip().splitlines()
    return str(lines[0]) if lines else ""
