"""Experiment files held against their pipeline file, for ``k2chaos lint``."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from k2chaos.errors import ExperimentError, UsageError
from k2chaos.experiment_file import ExperimentFile, read_experiment, uses_k2chaos
from k2chaos.lint import lint_experiment
from k2chaos.lint.foreseen import foreseen
from k2chaos.pipeline import Pipeline
from k2chaos.pipeline_file import find_pipeline_file, load_outline

_UNCHECKED: Final = (
    " by itself; there is no pipelines/lab.yaml here, so no pipeline was looked at: "
    "name one with --pipeline FILE"
)


@dataclass(frozen=True, slots=True)
class LintReport:
    """What to print, and whether anything is wrong."""

    lines: tuple[str, ...]
    has_mistakes: bool


def lint_files(sources: Iterable[str], pipeline: str | None) -> LintReport:
    """Check every file; all mistakes of all of them, and one line for each that has none."""
    lines: list[str] = []
    has_mistakes = False
    for source in sources:
        try:
            file = read_experiment(source)
            against = _pipeline(file, pipeline)
            mistakes = lint_experiment(file.tree, against)
            if mistakes:
                raise ExperimentError(source, mistakes)
            lines.append(f"{source}: ok{'' if against else _UNCHECKED}{_prospects(file, against)}")
        except UsageError as error:
            has_mistakes = True
            lines.append(str(error))
    return LintReport(tuple(dict.fromkeys(lines)), has_mistakes)


def _prospects(file: ExperimentFile, pipeline: Pipeline | None) -> str:
    """Why no run of it can pass, whatever happens in it; empty where one may."""
    reasons = foreseen(file.tree, pipeline) if uses_k2chaos(file.tree) else ()
    if not reasons:
        return ""
    return "\n  ".join(("; but a run of it cannot pass:", *reasons))


def _pipeline(file: ExperimentFile, named: str | None) -> Pipeline | None:
    """The pipeline in force; ``None`` where nobody names one and the default is not there."""
    path = find_pipeline_file(named, os.environ, file.configured_pipeline)
    is_named = named or os.environ.get("K2CHAOS_PIPELINE") or file.configured_pipeline
    if not is_named and not path.exists():
        return None
    return load_outline(path)
