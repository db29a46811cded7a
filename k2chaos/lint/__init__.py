"""
What is wrong with an experiment, before anything is touched.

Pure: a parsed file in, mistakes out, each ``path: what``, all at once. The functions that an
experiment may call are read from their modules' signatures, so this page never lags behind them.

What upstream's own validation lets pass is what matters here: misspelt keys, argument types,
unknown roles, undefined ``${variables}``, two activities of one name, a tolerance where none is
judged.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from k2chaos.experiment_file import CONTROL_MODULE, declares_control, uses_k2chaos
from k2chaos.lint.activity import lint_activity, lint_controls
from k2chaos.lint.arguments import Doors, Scope, import_door, nearest
from k2chaos.lint.shape import is_number, mappings, required_texts, unknown_keys
from k2chaos.lint.together import lint_together
from k2chaos.pipeline import Pipeline

_TOP: Final = (
    "title", "description", "version", "tags", "contributions", "configuration", "secrets",
    "controls", "steady-state-hypothesis", "method", "rollbacks", "runtime", "extensions",
    "dry",  # never in a file; upstream puts it there when it has read one
)  # fmt: skip
_HYPOTHESIS: Final = ("title", "description", "probes", "controls")
_ROLLBACKS: Final = ("default", "always", "never", "deviated")
_HYPOTHESES: Final = (
    "default", "before-method-only", "after-method-only", "during-method-only", "continuously",
)  # fmt: skip
_TOLERANCES: Final = ("probe", "regex", "jsonpath", "range")
_ADD_CONTROL: Final = (
    '{"name": "k2chaos", "provider": {"type": "python", "module": "k2chaos.controls"}}'
)


def lint_experiment(
    tree: Mapping[Any, Any],
    pipeline: Pipeline | None,
    variables: Mapping[str, Any] | None = None,
    doors: Doors = import_door,
) -> tuple[str, ...]:
    """
    All mistakes of one experiment.

    Args:
        tree: The parsed file.
        pipeline: Its limits bound the faults; ``None`` where none is known.
        variables: Values that override the experiment's configuration (``--var``).
        doors: Finds a module of k2chaos by name; ``None`` where there is none.

    Returns:
        One line per mistake, ``where: what``, in the order of the file.
    """
    scope = Scope(_configured(tree, variables or {}), _secret_names(tree), pipeline, doors)
    return (
        *unknown_keys(tree, _TOP, ""),
        *required_texts(tree, ("title", "description"), ""),
        *_lint_control_of_run(tree),
        *lint_controls(tree.get("controls"), "controls", scope),
        *_lint_hypothesis(tree.get("steady-state-hypothesis"), scope),
        *_lint_method(tree, scope),
        *lint_together(tree, scope),
        *_lint_activities(tree.get("rollbacks"), "rollbacks", scope),
        *_lint_names(tree),
        *_lint_runtime(tree),
    )


def _configured(tree: Mapping[Any, Any], variables: Mapping[str, Any]) -> Mapping[Any, Any]:
    """The experiment's configuration; upstream lets ``--var`` override it, never add to it."""
    own = tree.get("configuration")
    if not isinstance(own, Mapping):
        return {}
    return {key: variables.get(key, value) for key, value in own.items()}


def _secret_names(tree: Mapping[Any, Any]) -> frozenset[str]:
    """The names that ``${...}`` may take from the secrets."""
    groups = tree.get("secrets")
    listed = groups.values() if isinstance(groups, Mapping) else ()
    return frozenset(str(name) for group in listed if isinstance(group, Mapping) for name in group)


def _lint_control_of_run(tree: Mapping[Any, Any]) -> Iterator[str]:
    if uses_k2chaos(tree) and not declares_control(tree):
        yield (
            f"controls: {CONTROL_MODULE} is missing, without which there is neither healing nor "
            f"a verdict; add {_ADD_CONTROL}"
        )


def _lint_hypothesis(value: Any, scope: Scope) -> list[str]:
    where = "steady-state-hypothesis"
    if value is None:
        return []
    if not isinstance(value, Mapping):
        return [f"{where}: an object is expected"]
    mistakes = [
        *unknown_keys(value, _HYPOTHESIS, where),
        *required_texts(value, ("title",), where),
        *lint_controls(value.get("controls"), f"{where}.controls", scope),
    ]
    for path, probe in mappings(value.get("probes"), f"{where}.probes", mistakes):
        mistakes += lint_activity(probe, path, scope)
        mistakes += _lint_tolerance(probe, path, scope)
    return mistakes


def _lint_tolerance(probe: Mapping[Any, Any], where: str, scope: Scope) -> list[str]:
    path = f"{where}.tolerance"
    if "tolerance" not in probe:
        return [f"{path}: is missing; a hypothesis judges what its probe returns"]
    tolerance = probe["tolerance"]
    if isinstance(tolerance, Mapping):
        return _lint_rule(tolerance, path, scope)
    if isinstance(tolerance, list) or is_number(tolerance):
        return []
    if isinstance(tolerance, bool | str) and not uses_k2chaos(probe):
        return []
    return [f"{path}: a number, [low, high] or a rule such as {_example_rule()} is expected"]


def _example_rule() -> str:
    return '{"type": "range", "range": [0, 30]}'


def _lint_rule(rule: Mapping[Any, Any], path: str, scope: Scope) -> list[str]:
    kind = rule.get("type")
    if kind not in _TOLERANCES:
        return [f"{path}.type: must be one of {', '.join(_TOLERANCES)}"]
    if kind == "probe":
        return [*_room_for_value(rule, path), *lint_activity(rule, path, scope, {"value": None})]
    if kind != "range":
        return []
    bounds = rule.get("range")
    if not isinstance(bounds, list) or [*map(is_number, bounds)] != [True, True]:
        return [f"{path}.range: two numbers, [low, high], are expected"]
    return [f"{path}.range: {bounds[0]} is above {bounds[1]}"] if bounds[0] > bounds[1] else []


def _room_for_value(rule: Mapping[Any, Any], path: str) -> Iterator[str]:
    """Upstream writes the value into the provider's arguments, and fails where there are none."""
    provider = rule.get("provider")
    if isinstance(provider, Mapping) and not isinstance(provider.get("arguments"), Mapping):
        yield f"{path}.provider.arguments: an object is expected, even an empty one"


def _lint_method(tree: Mapping[Any, Any], scope: Scope) -> list[str]:
    method = tree.get("method")
    if method is None:
        return ["method: is missing; it lists what is done, faults first of all"]
    return _lint_activities(method, "method", scope)


def _lint_activities(value: Any, where: str, scope: Scope) -> list[str]:
    mistakes: list[str] = []
    for path, activity in mappings(value, where, mistakes):
        mistakes += lint_activity(activity, path, scope)
        if "tolerance" in activity:
            mistakes.append(f"{path}.tolerance: is judged in the hypothesis only, never here")
    return mistakes


def _lint_names(tree: Mapping[Any, Any]) -> Iterator[str]:
    """Two activities of one name cannot be told apart in the journal, or by ``ref``."""
    hypothesis = tree.get("steady-state-hypothesis")
    places = {
        "steady-state-hypothesis.probes": (
            hypothesis.get("probes") if isinstance(hypothesis, Mapping) else None
        ),
        "method": tree.get("method"),
        "rollbacks": tree.get("rollbacks"),
    }
    first: dict[str, str] = {}
    for where, value in places.items():
        for path, activity in mappings(value, where, []):
            name = activity.get("name")
            if isinstance(name, str) and first.setdefault(name, path) != path:
                yield f'{path}.name: "{name}" is already the name of {first[name]}'
    for where, value in places.items():
        for path, activity in mappings(value, where, []):
            if "ref" in activity:
                yield from _lint_reference(activity, path, first)


def _lint_reference(
    activity: Mapping[Any, Any], path: str, named: Mapping[str, str]
) -> Iterator[str]:
    """It must name an activity; upstream ignores what stands beside it, but for `background`."""
    name = activity["ref"]
    if not isinstance(activity.get("background", False), bool):
        yield f"{path}.background: must be true or false"
    if not isinstance(name, str) or name not in named:
        known = nearest(str(name), tuple(named)) if named else ""
        yield f"{path}.ref: no activity has this name{known}"
    for key in activity:
        if key not in ("ref", "background"):
            yield f"{path}.{key}: stands beside ref, and would be ignored: write it there"


def _lint_runtime(tree: Mapping[Any, Any]) -> list[str]:
    runtime = tree.get("runtime", {})
    if not isinstance(runtime, Mapping):
        return ["runtime: an object is expected"]
    mistakes = [*unknown_keys(runtime, ("rollbacks", "hypothesis", "python"), "runtime")]
    rollbacks = _strategy(runtime, "rollbacks", _ROLLBACKS, mistakes)
    _strategy(runtime, "hypothesis", _HYPOTHESES, mistakes)
    if uses_k2chaos(tree) and tree.get("rollbacks") and rollbacks != "always":
        mistakes.append(
            'runtime.rollbacks.strategy: must be "always", or rollbacks are skipped after an '
            "interrupt or an unmet hypothesis"
        )
    return mistakes


def _strategy(
    runtime: Mapping[Any, Any], name: str, known: tuple[str, ...], mistakes: list[str]
) -> Any:
    where = f"runtime.{name}"
    part = runtime.get(name, {})
    if not isinstance(part, Mapping):
        mistakes.append(f"{where}: an object is expected")
        return None
    mistakes += unknown_keys(part, ("strategy",), where)
    strategy = part.get("strategy", "default")
    if strategy not in known:
        mistakes.append(f"{where}.strategy: must be one of {', '.join(known)}")
    return strategy
