"""
What a kind of fault needs of the engine and its host, and whether it is there.

A fault that cannot be done here is refused before a run begins, never replaced by a weaker one.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from k2chaos.errors import UsageError
from k2chaos.system.faults.catalogue import ACTIONS, kind_of_action

ABILITIES: Final[Mapping[str, str]] = {
    "cpu": "the engine cannot limit CPU time (no CFS quota in its kernel)",
    "memory": "the engine cannot limit memory and swap "
    "(no memory control group, or no swap accounting)",
    "pids": "the engine cannot limit processes (no pids control group)",
    "host-pid": (
        "a helper may not see the processes of the engine's host (rootless engine, or user "
        "namespaces are remapped)"
    ),
}
"""What an engine can do, and what it means where it cannot."""

_NEEDS: Final[Mapping[str, str]] = {
    "squeeze-cpu": "cpu",
    "squeeze-memory": "memory",
    "squeeze-processes": "pids",
    "crash": "host-pid",
    "freeze-process": "host-pid",
}


def why_not(kind: str, abilities: Collection[str]) -> str:
    """Why an engine with these *abilities* cannot do a fault of *kind*; empty where it can."""
    need = _NEEDS.get(kind)
    return ABILITIES[need] if need is not None and need not in abilities else ""


def refuse_impossible(experiment: Mapping[str, Any], abilities: Collection[str]) -> None:
    """
    Check that every fault of *experiment* can be done.

    Raises:
        UsageError: One cannot; it says which, and why.
    """
    for activity in experiment.get("method") or ():
        provider = activity.get("provider") or {}
        action = str(provider.get("func"))
        kind = kind_of_action(action) if provider.get("module") == ACTIONS else None
        reason = why_not(kind.kind, abilities) if kind else ""
        if reason:
            message = f"{action} cannot be done on this host: {reason}. Nothing was touched"
            raise UsageError(message)
