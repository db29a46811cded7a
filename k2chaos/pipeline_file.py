"""
Reading a pipeline file.

Rules: a mistake is named with its path, and all mistakes at once; an unknown key is a mistake;
a secret enters by ``${NAME}`` only, and is remembered so that evidence can leave it out; relative
paths inside the file count from the file. Nothing here opens a connection.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from k2chaos.errors import PipelineFileError, UsageError
from k2chaos.pipeline import Pipeline
from k2chaos.yaml_file import parse_yaml

_WORDS: Final[Mapping[str, str]] = {
    r"^(Input|String|Tuple|Value|Keys) should\b": "must",
    r"\bvalid tuple\b": "list",
    r"\b(a |valid )*dictionary( or an instance of \w+)?": "a mapping",
    r" after validation, not 0$": "",
}
"""What the library says that reads the values, which knows nothing of files; and what we say."""
_UNSET: Final = "unset"
"""What stands for a variable where only the rest of the file counts."""
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
    return _load(path, environ, stand_in=None)


def _load(path: Path, environ: Mapping[str, str], stand_in: str | None) -> PipelineFile:
    """The same; a variable that is not set is no mistake where *stand_in* takes its place."""
    text = _read(path)
    tree = _parse(path, text)
    values = {**_env_file(path, tree), **environ}
    variables = _Variables(values, stand_in)
    try:
        resolved = variables.fill(tree, "")
    except RecursionError as error:
        raise PipelineFileError(str(path), ["it contains itself, or is nested too deep"]) from error
    mistakes = [*variables.mistakes, *_more_mistakes(resolved)]
    mistakes += _address_mistakes(tree, resolved, values)
    try:
        pipeline = TypeAdapter(Pipeline).validate_python(resolved)
    except ValidationError as error:
        mistakes = [_mistake(one) for one in error.errors()] + mistakes
    if mistakes:
        raise PipelineFileError(str(path), mistakes)
    _allow_production(pipeline, environ)
    return PipelineFile(path.resolve(), pipeline, text, tuple(sorted(set(variables.secrets))))


def load_outline(path: Path, environ: Mapping[str, str] = os.environ) -> Pipeline:
    """
    The pipeline as far as it counts for those who connect to none of its stages: its services,
    stages and limits. Variables need not be set: a clone whose lab was never up, and a build
    machine without secrets, can lint and plan.

    Raises:
        PipelineFileError: All mistakes of the file, each with its path.
        UsageError: The file cannot be read, or names a production that was not allowed.
    """
    return _load(path, environ, stand_in=_UNSET).pipeline


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


@dataclass(frozen=True, slots=True)
class _Variables:
    """
    Fills in every ``${NAME}``.

    Attributes:
        stand_in: What takes the place of one that is not set.
        mistakes: One for each that is not set and has no stand-in, at its path.
        secrets: The values that came in.
        done: What an anchor named is filled in once, however often it is used.
    """

    values: Mapping[str, str]
    stand_in: str | None = None
    mistakes: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    done: dict[int, Any] = field(default_factory=dict)

    def fill(self, node: Any, where: str) -> Any:
        """*node* with all that is below it, which stands at the path *where*."""
        if isinstance(node, str):
            return self._filled(node, where)
        if isinstance(node, dict) and id(node) not in self.done:
            self.done[id(node)] = {
                key: self.fill(value, _join(where, key)) for key, value in node.items()
            }
        if isinstance(node, list) and id(node) not in self.done:
            self.done[id(node)] = [
                self.fill(value, f"{where}[{index}]") for index, value in enumerate(node)
            ]
        return self.done.get(id(node), node)

    def _filled(self, text: str, where: str) -> str:
        for name in _VARIABLE.findall(text):
            if name in self.values:
                self.secrets.append(self.values[name])
            elif self.stand_in is None:
                self.mistakes.append(
                    f"{where}: variable {name} is not set: export it, or put it into env_file "
                    "(`k2chaos lab up` makes the lab's)"
                )
        return _VARIABLE.sub(lambda match: self.values.get(match[1], self.stand_in or ""), text)


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _mistake(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"] if part != "[key]") or "top level"
    what = {
        "unexpected_keyword_argument": "unknown key",
        "missing": "is missing",
        "missing_argument": "is missing",
    }.get(error["type"], error["msg"])
    for theirs, ours in _WORDS.items():
        what = re.sub(theirs, ours, what)
    return f"{where}: {what}"


def _address_mistakes(
    tree: Mapping[str, Any], resolved: Mapping[str, Any], values: Mapping[str, str]
) -> Iterator[str]:
    """Web addresses that are none; one with a variable that is not set is told elsewhere."""
    for (where, written), (_, address) in zip(_addresses(tree), _addresses(resolved), strict=True):
        named = _VARIABLE.findall(written)
        is_known = all(name in values for name in named)
        if is_known and not _is_web_address(address):
            yield f"{where}: an address such as http://127.0.0.1:8000 is expected"


def _addresses(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every text of the file that is a web address, with its path."""
    for part, key in (("exchange", "control"), ("topic", "registry"), ("api", "url")):
        section = tree.get(part)
        value = section.get(key) if isinstance(section, dict) else None
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(one, str):
                yield f"{part}.{key}[{number}]" if one is not value else f"{part}.{key}", one


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises where it is none
    except ValueError:
        return False
    is_plain = text.isprintable() and " " not in text
    return is_plain and parts.scheme in ("http", "https") and bool(parts.hostname)


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
        for name in names if isinstance(names, list) else [names]:
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
