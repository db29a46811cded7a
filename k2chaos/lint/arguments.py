"""
A call into one of the package's own doors, held against the function's signature.

The functions are introspected, never listed here. What an annotation cannot say (a duration is
positive, a role is one of the vocabulary) is said once per argument name in `_MEANINGS`.
"""

import difflib
import importlib
import importlib.util
import inspect
import math
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, get_args

from k2chaos.evidence.phases import budget_mistakes
from k2chaos.experiment_file import CONTROL_MODULE, OUR_MODULES
from k2chaos.lint.combined import lint_combined
from k2chaos.lint.shape import is_number
from k2chaos.pipeline import ROLES, STAGES, Pipeline
from k2chaos.system.amounts import AMOUNTS, what_is_wrong
from k2chaos.system.bounds import LONGEST_START_SECONDS
from k2chaos.system.faults.network.names import ANSWERS
from k2chaos.system.faults.network.partition import DIRECTIONS
from k2chaos.system.faults.records import PoisonKind

Doors = Callable[[str], ModuleType | None]
_Meaning = Callable[[Any, inspect.Parameter, Pipeline | None], str | None]

DOORS: Final = ("k2chaos.actions", "k2chaos.probes", "k2chaos.tolerances", CONTROL_MODULE)
_KINDS: Final = {"k2chaos.actions": "action", "k2chaos.probes": "probe"}
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_GIVEN_BY_UPSTREAM: Final = ("configuration", "secrets")
_WORDS: Final[Mapping[type, str]] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}
_SHOWN_LENGTH: Final = 60
_UNKNOWN: Final = None
"""Stands for a value that is known only when the experiment runs (a secret, a dynamic one)."""


def import_door(name: str) -> ModuleType | None:
    """Import one of the package's doors; ``None`` for any other name."""
    if name not in DOORS or importlib.util.find_spec(name) is None:
        return None
    return importlib.import_module(name)


@dataclass(frozen=True, slots=True)
class Scope:
    """What an argument may lean on: configuration, names of secrets, limits, the doors."""

    configuration: Mapping[Any, Any]
    secrets: frozenset[str]
    pipeline: Pipeline | None
    doors: Doors

    def resolve(self, value: Any, where: str, mistakes: list[str]) -> Any:
        """*value* with its ``${name}`` looked up; ``None`` where only the run will know."""
        if not isinstance(value, str):
            return value
        names = _VARIABLE.findall(value)
        missing = [n for n in names if n not in self.configuration and n not in self.secrets]
        mistakes += [f"{where}: ${{{n}}} is not in the experiment's configuration" for n in missing]
        if not names:
            return value
        if missing or not _VARIABLE.fullmatch(value):
            return _UNKNOWN
        found = self.configuration.get(names[0])
        return self._from_environment(found) if isinstance(found, Mapping) else found

    def _from_environment(self, entry: Mapping[Any, Any]) -> Any:
        """An environment entry's default is what can be judged before the run."""
        return entry.get("default") if entry.get("env_var_type") is None else _UNKNOWN


def lint_call(
    provider: Mapping[Any, Any],
    where: str,
    kind: str,
    scope: Scope,
    extra: Mapping[str, Any],
) -> list[str]:
    """
    The mistakes of one Python provider.

    Args:
        kind: ``action``, ``probe`` or ``control``: what the provider stands in.
        extra: Arguments that upstream adds when it calls (a tolerance's ``value``).
    """
    module = provider.get("module")
    if not isinstance(module, str) or not module:
        return [f"{where}.module: is missing"]
    if not module.startswith(OUR_MODULES):
        return []
    if kind == "control" and module == CONTROL_MODULE:
        return []
    door = scope.doors(module)
    if door is None:
        hint = nearest(module, DOORS)
        return [f"{where}.module: k2chaos has no module {module}{hint}"]
    function, mistakes = _function(door, module, provider, where)
    if _KINDS.get(module, kind) != kind:
        mistakes.append(f'{where}.module: {module} needs "type": "{_KINDS[module]}", not "{kind}"')
    if function is None:
        return mistakes
    return mistakes + _lint_arguments(function, provider, f"{where}.arguments", scope, extra)


def called_with(function: Callable[..., Any], provider: Mapping[Any, Any]) -> dict[str, Any]:
    """What *function* is called with by *provider*, defaults included, as it stands in the file."""
    given = provider.get("arguments")
    given = given if isinstance(given, Mapping) else {}
    parameters = inspect.signature(function).parameters.items()
    return {name: given.get(name, parameter.default) for name, parameter in parameters}


def nearest(word: str, words: tuple[str, ...]) -> str:
    """A hint for a word that is not one of *words*."""
    near = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(words) or 'none'}"


def _function(
    door: ModuleType, module: str, provider: Mapping[Any, Any], where: str
) -> tuple[Callable[..., Any] | None, list[str]]:
    name = provider.get("func")
    names = tuple(getattr(door, "__all__", ()))
    if not isinstance(name, str) or not name:
        return None, [f"{where}.func: is missing; {module} has: {', '.join(names)}"]
    if name not in names:
        return None, [f"{where}.func: {module} has no {name}{nearest(name, names)}"]
    return getattr(door, name), []


def _lint_arguments(
    function: Callable[..., Any],
    provider: Mapping[Any, Any],
    where: str,
    scope: Scope,
    extra: Mapping[str, Any],
) -> list[str]:
    given = provider.get("arguments", {})
    if not isinstance(given, Mapping):
        return [f"{where}: an object is expected"]
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in _GIVEN_BY_UPSTREAM
    }
    mistakes = [*_strangers_and_missing(parameters, given, where, extra)]
    for name, value in given.items():
        if name in parameters:
            mistakes += _lint_value(parameters[name], value, f"{where}.{name}", scope)
    values = {
        name: scope.resolve(given.get(name, parameter.default), where, [])
        for name, parameter in parameters.items()
        if name in given or parameter.default is not inspect.Parameter.empty
    }
    return [*mistakes, *lint_combined(function.__name__, values, where, scope.pipeline)]


def _strangers_and_missing(
    parameters: Mapping[str, inspect.Parameter],
    given: Mapping[Any, Any],
    where: str,
    extra: Mapping[str, Any],
) -> Iterator[str]:
    for name in given:
        if name not in parameters:
            yield f"{where}.{name}: unknown argument{nearest(str(name), tuple(parameters))}"
    for name, parameter in parameters.items():
        is_required = parameter.default is inspect.Parameter.empty
        if is_required and name not in given and name not in extra:
            yield f"{where}.{name}: is missing"


def _lint_value(parameter: inspect.Parameter, value: Any, where: str, scope: Scope) -> list[str]:
    mistakes: list[str] = []
    is_reference = isinstance(value, str) and _VARIABLE.search(value) is not None
    resolved = scope.resolve(value, where, mistakes)
    if mistakes or (is_reference and resolved is _UNKNOWN):
        return mistakes
    if resolved is None and parameter.default is None:
        return []
    if not _fits(resolved, parameter.annotation):
        word = _WORDS.get(parameter.annotation, str(parameter.annotation))
        return [f"{where}: must be {word}, not {_shown(resolved)}"]
    meaning = _MEANINGS.get(parameter.name)
    what = meaning(resolved, parameter, scope.pipeline) if meaning else None
    return [f"{where}: {what}"] if what else []


def _fits(value: Any, annotation: Any) -> bool:
    """JSON's types against a plain annotation; a truth value is never a number."""
    if annotation not in _WORDS:
        return True
    if isinstance(value, bool) or annotation is bool:
        return isinstance(value, bool) and annotation is bool
    if annotation is float:
        return is_number(value)
    return isinstance(value, annotation)


def _shown(value: Any) -> str:
    text = f'the text "{value}"' if isinstance(value, str) else reprlib.repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."


def _is_role(value: Any, _parameter: inspect.Parameter, _pipeline: Pipeline | None) -> str | None:
    if value in ROLES:
        return None
    return f'"{value}" is no role; the roles are {", ".join(ROLES)}'


def _is_stage(value: Any, _parameter: inspect.Parameter, _pipeline: Pipeline | None) -> str | None:
    if value in STAGES:
        return None
    return f'"{value}" is no stage; the stages are {", ".join(STAGES)}'


def _is_duration(value: Any, parameter: inspect.Parameter, pipeline: Pipeline | None) -> str | None:
    """A fault lasts some time, at most the pipeline's limit; 0 only where 0 is the default."""
    if value < 0 or (value == 0 and parameter.default != 0):
        return f"must be above 0 seconds, not {value}"
    longest = pipeline.limits.longest_fault_seconds if pipeline else math.inf
    if value > longest:
        return f"{value} s is above the pipeline's limits.longest_fault_seconds, {longest:g}"
    return None


def _is_grace(value: Any, parameter: inspect.Parameter, pipeline: Pipeline | None) -> str | None:
    """From SIGTERM to SIGKILL: 0 is allowed, more than a fault may last is not."""
    return None if value == 0 else _is_duration(value, parameter, pipeline)


def _is_start(value: Any, _parameter: inspect.Parameter, _pipeline: Pipeline | None) -> str | None:
    if 0 <= value <= LONGEST_START_SECONDS:
        return None
    return f"must lie between 0 and {LONGEST_START_SECONDS:g} seconds, not {value}"


def _is_positive(
    value: Any, _parameter: inspect.Parameter, _pipeline: Pipeline | None
) -> str | None:
    return None if value > 0 else f"must be above 0, not {value}"


def _is_within(value: Any, parameter: inspect.Parameter, _pipeline: Pipeline | None) -> str | None:
    return what_is_wrong(parameter.name, value)


def _is_named(value: Any, _parameter: inspect.Parameter, _pipeline: Pipeline | None) -> str | None:
    return None if value.strip() else "must not be empty"


def _are_budgets(
    value: Any, _parameter: inspect.Parameter, _pipeline: Pipeline | None
) -> str | None:
    return "; ".join(budget_mistakes(value)) or None


def _is_one_of(noun: str, words: tuple[str, ...]) -> _Meaning:
    def judge(value: Any, _parameter: inspect.Parameter, _pipeline: Pipeline | None) -> str | None:
        return None if value in words else f'"{value}" is no {noun}; there are {", ".join(words)}'

    return judge


_MEANINGS: Final[Mapping[str, _Meaning]] = {
    "role": _is_role,
    "to": _is_role,
    "direction": _is_one_of("direction", DIRECTIONS),
    "answer": _is_one_of("answer", ANSWERS),
    "stage": _is_stage,
    "duration": _is_duration,
    "budgets": _are_budgets,
    "count": _is_positive,
    "requests": _is_positive,
    "deadline": _is_positive,
    "seconds": _is_positive,
    "grace": _is_grace,
    "process": _is_named,
    "start_after": _is_start,
    "poison": _is_one_of("poison", get_args(PoisonKind)),
    **dict.fromkeys(AMOUNTS, _is_within),
}
