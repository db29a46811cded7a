"""
What an experiment would do, to which containers, and what would undo it; touches nothing.

What a fault does and what undoes it stands with the fault; the targets are chosen by the same
`select` that the run will use.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TextIO

from k2chaos.errors import ExperimentError, TargetError, Unsupported
from k2chaos.experiment_file import ExperimentFile, read_experiment
from k2chaos.lint import lint_experiment
from k2chaos.lint.arguments import Scope, import_door
from k2chaos.pipeline import Limits, Pipeline
from k2chaos.pipeline_file import find_pipeline_file, load_pipeline
from k2chaos.system.faults.catalogue import ACTIONS, kind_of_action
from k2chaos.system.faults.needs import why_not
from k2chaos.system.runtime import Runtime, select


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
        problem: Why it could not be done now; empty where it could.
    """

    name: str
    action: str
    arguments: Mapping[str, Any]
    does: str
    undone_by: str = ""
    targets: tuple[Target, ...] = ()
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
    pipeline = load_pipeline(path).pipeline
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
    for target in step.targets:
        health = "" if target.health == "none" else f", {target.health}"
        yield f"   target: {target.name} (now {target.status}{health})"
    if step.problem:
        yield f"   cannot be done now: {step.problem}"


def _steps(file: ExperimentFile, pipeline: Pipeline, runtime: Runtime) -> Iterator[Step]:
    configuration = file.tree.get("configuration") or {}
    scope = Scope(configuration, frozenset(), pipeline, import_door)
    for activity in file.tree["method"]:
        provider = activity.get("provider", {})
        if provider.get("module") != ACTIONS:
            continue
        arguments = {
            name: scope.resolve(value, name, [])
            for name, value in provider.get("arguments", {}).items()
        }
        yield _step(activity["name"], provider["func"], arguments, pipeline, runtime)


def _step(
    name: str, action: str, arguments: Mapping[str, Any], pipeline: Pipeline, runtime: Runtime
) -> Step:
    kind = kind_of_action(action)
    if kind is None:
        return Step(name, action, arguments, _first_line(action))
    unable = why_not(kind.kind, runtime.abilities())
    step = Step(name, action, arguments, kind.does, kind.undone_by, problem=unable)
    if unable or "role" not in arguments:
        return step  # of an endpoint, which no engine knows
    try:
        found = select(
            runtime,
            pipeline,
            arguments["role"],
            arguments.get("service") or None,
            arguments.get("count", 1),
        )
    except (TargetError, Unsupported) as error:
        return replace(step, problem=str(error))
    states = {container: runtime.state(container) for container in found}
    targets = tuple(Target(str(one), state.status, state.health) for one, state in states.items())
    idle = [str(one) for one, state in states.items() if not state.is_running]
    problem = f"not running: {', '.join(idle)}" if idle else ""
    return replace(step, targets=targets, problem=problem)


def _first_line(action: str) -> str:
    door = import_door(ACTIONS)
    lines = (getattr(door, action).__doc__ or "").strip().splitlines()
    return str(lines[0]) if lines else ""
