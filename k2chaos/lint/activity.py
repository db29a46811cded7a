"""One activity or control of an experiment: its keys, its pauses, its provider."""

from collections.abc import Mapping
from typing import Any, Final

from k2chaos.lint.arguments import Scope, lint_call
from k2chaos.lint.shape import is_number, mappings, required_texts, unknown_keys

_ACTIVITY: Final = (
    "type", "name", "description", "provider", "background", "pauses", "controls", "tolerance",
    "timeout", "ref",
)  # fmt: skip
_CONTROL: Final = ("name", "provider", "scope", "automatic", "ref")
_PROVIDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "python": ("type", "module", "func", "arguments", "secrets"),
    "process": ("type", "path", "arguments", "timeout", "secrets"),
    "http": (
        "type", "url", "method", "headers", "expected_status", "arguments", "timeout",
        "verify_tls", "max_retries", "secrets",
    ),
}  # fmt: skip


def lint_controls(value: Any, where: str, scope: Scope) -> list[str]:
    """The mistakes of a list of controls."""
    mistakes: list[str] = []
    for path, control in mappings(value, where, mistakes):
        mistakes += unknown_keys(control, _CONTROL, path)
        mistakes += required_texts(control, ("name",), path)
        if control.get("scope") not in (None, "before", "after"):
            mistakes.append(f"{path}.scope: must be before or after")
        if "ref" not in control:
            mistakes += _lint_provider(control, path, "control", scope)
    return mistakes


def lint_activity(
    activity: Mapping[Any, Any],
    where: str,
    scope: Scope,
    extra: Mapping[str, Any] | None = None,
) -> list[str]:
    """
    The mistakes of one activity.

    Args:
        extra: Arguments that upstream adds when it calls (a tolerance's ``value``).
    """
    if "ref" in activity:
        return []
    mistakes = [
        *unknown_keys(activity, _ACTIVITY, where),
        *required_texts(activity, ("name",), where),
        *lint_controls(activity.get("controls"), f"{where}.controls", scope),
    ]
    kind = activity.get("type")
    if kind not in ("probe", "action"):
        mistakes.append(f"{where}.type: must be probe or action")
    if not isinstance(activity.get("background", False), bool):
        mistakes.append(f"{where}.background: must be true or false")
    mistakes += _lint_pauses(activity.get("pauses"), f"{where}.pauses", scope)
    return mistakes + _lint_provider(activity, where, str(kind), scope, extra or {})


def _lint_pauses(value: Any, where: str, scope: Scope) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, Mapping):
        return [f"{where}: an object with before or after is expected"]
    mistakes = [*unknown_keys(value, ("before", "after"), where)]
    for name in ("before", "after"):
        seconds = scope.resolve(value.get(name, 0), f"{where}.{name}", mistakes)
        if seconds is not None and (not is_number(seconds) or seconds < 0):
            mistakes.append(f"{where}.{name}: seconds, a number from 0 up, are expected")
    return mistakes


def _lint_provider(
    owner: Mapping[Any, Any],
    where: str,
    kind: str,
    scope: Scope,
    extra: Mapping[str, Any] | None = None,
) -> list[str]:
    path = f"{where}.provider"
    provider = owner.get("provider")
    if not isinstance(provider, Mapping):
        state = "is missing" if provider is None else "an object is expected"
        return [f"{path}: {state}"]
    known = _PROVIDERS.get(str(provider.get("type")))
    if known is None:
        return [f"{path}.type: must be one of {', '.join(_PROVIDERS)}"]
    mistakes = [*unknown_keys(provider, known, path)]
    if provider.get("type") == "python":
        mistakes += lint_call(provider, path, kind, scope, extra or {})
    return mistakes
