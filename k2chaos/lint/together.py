"""
Faults of one method that would be held at the same time and cannot be.

Only what is certain is a mistake: after an activity of unknown length nothing is known of what is
still held, and the run itself refuses what then overlaps.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from k2chaos.lint.arguments import Scope, called_with
from k2chaos.lint.shape import is_number, mappings
from k2chaos.system.bounds import not_shared
from k2chaos.system.faults.catalogue import ACTIONS

_AGES: Final = 1e9
_LENGTHS: Final = ("start_after", "duration", "grace")


@dataclass(frozen=True, slots=True)
class _Held:
    """A fault of the method: of which kind, where, and until when (from the start)."""

    path: str
    kind: str
    role: Any
    service: Any
    until: float

    def not_shared_with(self, other: "_Held") -> str:
        """What both need of one container; empty where there is nothing."""
        same_service = not (self.service and other.service) or self.service == other.service
        is_one_place = self.role == other.role and same_service
        return not_shared(self.kind, other.kind) if is_one_place else ""


def lint_together(tree: Mapping[Any, Any], scope: Scope) -> Iterator[str]:
    """The mistakes of the method as a whole; those of single activities are told elsewhere."""
    method = [*mappings(tree.get("method"), "method", [])]
    named = {str(one.get("name")): one for _, one in method if "ref" not in one}
    now, open_now = 0.0, list[_Held]()
    for path, listed in method:
        activity = named.get(str(listed["ref"]), {}) if "ref" in listed else listed
        begins = now + _pause(activity, "before", scope)
        held = _held(path, activity, begins, scope)
        if held is None and activity.get("type") != "probe":
            open_now.clear()  # it takes as long as it takes
        if held is not None:
            open_now = [one for one in open_now if one.until >= begins]
            yield from _clashes(held, open_now)
            open_now.append(held)
        # Upstream hears of `background` where the activity is listed; its pauses go with it.
        if listed.get("background") is not True:
            now = (held.until if held else begins) + _pause(activity, "after", scope)
            open_now = [one for one in open_now if one is not held]


def _clashes(held: _Held, open_now: list[_Held]) -> Iterator[str]:
    for one in open_now:
        if what := held.not_shared_with(one):
            whose = f" of role {held.role}" if held.role else ""
            yield (
                f"{held.path}: would be held together with {one.path}, and both change "
                f"{what}{whose}: let the one end before the other begins"
            )


def _held(path: str, activity: Mapping[Any, Any], begins: float, scope: Scope) -> _Held | None:
    """The fault that *activity* holds; ``None`` where it holds none."""
    arguments = _arguments(activity, scope)
    if arguments is None:
        return None
    known = sum(_seconds(arguments.get(name)) for name in _LENGTHS)
    kind = str(activity["provider"].get("func")).replace("_", "-")
    return _Held(path, kind, arguments.get("role"), arguments.get("service"), begins + known)


def _arguments(activity: Mapping[Any, Any], scope: Scope) -> Mapping[str, Any] | None:
    """What a fault's action is called with, defaults included; ``None`` for all others."""
    provider = activity.get("provider")
    if not isinstance(provider, Mapping) or provider.get("module") != ACTIONS:
        return None
    door = scope.doors(ACTIONS)
    name = provider.get("func")
    if door is None or not isinstance(name, str) or name not in getattr(door, "__all__", ()):
        return None
    arguments = called_with(getattr(door, name), provider)
    if "duration" not in arguments:
        return None  # it waits, for as long as it takes
    return {key: scope.resolve(value, "", []) for key, value in arguments.items()}


def _pause(activity: Mapping[Any, Any], name: str, scope: Scope) -> float:
    pauses = activity.get("pauses")
    value = pauses.get(name, 0) if isinstance(pauses, Mapping) else 0
    return _seconds(scope.resolve(value, "", []))


def _seconds(value: Any) -> float:
    """A length that can be added up; 0 for what is none, or not known before the run."""
    return float(min(max(0, value), _AGES)) if is_number(value) else 0.0
