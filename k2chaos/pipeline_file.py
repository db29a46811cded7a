"""
Reading a pipeline file.

Rules: a mistake is named with its path, and all mistakes at once; an unknown key is a mistake;
a secret enters by ``${NAME}`` only, and is remembered so that evidence can leave it out; relative
paths inside the file count from the file. Nothing here opens a connection.
"""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from k2chaos.errors import PipelineFileError, UsageError
from k2chaos.pipeline import Pipeline
from k2chaos.yaml_file import parse_yaml

_SAID: Final = re.compile(r"^(Input|String|Tuple) should\b")
"""How the library that reads the values begins, which knows nothing of files."""
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class PipelineFile:
    """
    A pipeline and where it came from.

    Attributes:
        text: The file as written, variables unresolved: what evidence may keep.
        secrets: Values that came in by ``${NAME}``, to be blotted out of all evidence.
    """

    path: Path
    pipeline: Pipeline
    text: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


def find_pipeline_file(
    named: str | None, environ: Mapping[str, str], configured: str | None
) -> Path:
    """
    Choose the pipeline file: the option, ``$K2CHAOS_PIPELINE``, the experiment's configuration
    (``pipeline``), ``pipelines/lab.yaml``; the first that is named.
    """
    return Path(
        named or environ.get("K2CHAOS_PIPELINE") or configured or Path("pipelines") / "lab.yaml"
    )


def load_pipeline(path: Path, environ: Mapping[str, str] = os.environ) -> PipelineFile:
    """
    Read *path* into frozen values.

    Args:
        path: The pipeline file.
        environ: Where ``${NAME}`` is looked up first; the file's own ``env_file`` comes second.

    Raises:
        PipelineFileError: All mistakes of the file, each with its path.
        UsageError: The file cannot be read, or names a production that was not allowed.
    """
    text = _read(path)
    tree = _parse(path, text)
    values = {**_env_file(path, tree), **environ}
    mistakes: list[str] = []
    secrets: list[str] = []
    try:
        resolved = _resolve(tree, values, "", mistakes, secrets)
    except RecursionError as error:
        raise PipelineFileError(str(path), ["it contains itself, or is nested too deep"]) from error
    mistakes += _more_mistakes(resolved)
    try:
        pipeline = TypeAdapter(Pipeline).validate_python(resolved)
    except ValidationError as error:
        mistakes = [_mistake(one) for one in error.errors()] + mistakes
    if mistakes:
        raise PipelineFileError(str(path), mistakes)
    _allow_production(pipeline, environ)
    return PipelineFile(path.resolve(), pipeline, text, tuple(sorted(set(secrets))))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        message = (
            f"no pipeline file at {path}: name one with --pipeline or K2CHAOS_PIPELINE, "
            "or work in a clone of the project, where pipelines/lab.yaml is the default"
        )
        raise UsageError(message) from error
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot read the pipeline file {path}: {error}"
        raise UsageError(message) from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        tree = parse_yaml(text)
    except ValueError as error:
        raise PipelineFileError(str(path), [str(error)]) from error
    if not isinstance(tree, dict):
        raise PipelineFileError(str(path), ["top level: a mapping is expected"])
    return tree


def _env_file(path: Path, tree: Mapping[str, Any]) -> dict[str, str]:
    """``NAME=value`` lines of the file that ``env_file`` names; none where it is not there yet."""
    named = tree.get("env_file")
    if not isinstance(named, str) or not (path.parent / named).is_file():
        return {}
    try:
        lines = (path.parent / named).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineFileError(str(path), [f"env_file: cannot read {named}: {error}"]) from error
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _resolve(
    node: Any, values: Mapping[str, str], where: str, mistakes: list[str], secrets: list[str]
) -> Any:
    """Replace every ``${NAME}`` below *node*; an unset one is a mistake at its path."""
    if isinstance(node, dict):
        return {
            key: _resolve(value, values, _join(where, key), mistakes, secrets)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [
            _resolve(value, values, f"{where}[{index}]", mistakes, secrets)
            for index, value in enumerate(node)
        ]
    if not isinstance(node, str):
        return node
    for name in _VARIABLE.findall(node):
        if name in values:
            secrets.append(values[name])
        else:
            mistakes.append(
                f"{where}: variable {name} is not set: export it, or put it into env_file "
                "(`k2chaos lab up` makes the lab's)"
            )
    return _VARIABLE.sub(lambda match: values.get(match[1], ""), node)


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _mistake(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"] if part != "[key]") or "top level"
    what = {
        "unexpected_keyword_argument": "unknown key",
        "missing": "is missing",
        "missing_argument": "is missing",
    }.get(error["type"], _SAID.sub("must", error["msg"]))
    return f"{where}: {what.removeprefix('Value error, ')}"


def _more_mistakes(tree: Mapping[str, Any]) -> list[str]:
    """What types cannot say: one service in two roles, roles without their stage."""
    services = tree.get("services")
    if not isinstance(services, dict):
        return []
    seen, mistakes = _roles(services)
    pairs = (("exchange", "exchange"), ("topic", "broker"), ("table", "sink"), ("api", "api"))
    mistakes += [
        f"services.{role}: is missing (the file describes the stage {stage})"
        for stage, role in pairs
        if tree.get(stage) and role not in services
    ]
    return [*mistakes, *_idle_protection(tree, seen)]


def _roles(services: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The role of each service, and the services that have two."""
    seen: dict[str, str] = {}
    mistakes = []
    for role, names in services.items():
        for name in [names] if isinstance(names, str) else names or []:
            if not isinstance(name, str):
                continue  # the types say so already
            if name in seen:
                mistakes.append(f"services.{role}: {name} is already the {seen[name]}")
            seen[name] = role
    return seen, mistakes


def _idle_protection(tree: Mapping[str, Any], listed: Collection[str]) -> list[str]:
    """Entries of ``limits.never`` that name no service, so that they protect nothing."""
    limits = tree.get("limits")
    never = limits.get("never") if isinstance(limits, dict) else None
    return [
        f"limits.never: {name} is no service of this file; it protects nothing"
        for name in (never if isinstance(never, list) else [])
        if name not in listed
    ]


def _allow_production(pipeline: Pipeline, environ: Mapping[str, str]) -> None:
    allowed = environ.get("K2CHAOS_ALLOW_PRODUCTION")
    if pipeline.environment == "production" and allowed != pipeline.name:
        message = (
            f"pipeline {pipeline.name} is production: set K2CHAOS_ALLOW_PRODUCTION={pipeline.name} "
            "if breaking it on purpose is what you mean"
        )
        raise UsageError(message)
