"""
What cannot be held together, and what is too long: known before a run, and enforced in it.

Pure: the linter reads it, and so does the admission of every fault.
"""

from collections.abc import Mapping
from typing import Final

from k2chaos.pipeline import Pipeline
from k2chaos.system.runtime import allowed_services

LONGEST_START_SECONDS: Final = 3600.0
"""From the call of an action to its effect (`start_after`)."""

_OF_PROCESSES: Final = frozenset({"pause", "stop", "kill", "crash", "restart", "freeze-process"})
_SINKS_GROUP: Final = "the sink's group"
_OF_DATA: Final[Mapping[str, str]] = {
    "starve-writes": "the quota of producers",
    "squeeze-record-size": "the largest record",
    "join-group": _SINKS_GROUP,
    "impersonate-sink": _SINKS_GROUP,
}
_HELD_DOWN: Final = frozenset({"stop", "kill"})
_DEADLY_SQUEEZES: Final = frozenset({"squeeze-memory", "squeeze-processes"})
_OF_QUEUES: Final = frozenset(
    {"delay-packets", "reorder-packets", "duplicate-packets", "limit-bandwidth"}
)


_ACTED_ON: Final[Mapping[str, tuple[str, ...]]] = {
    "exchange": ("exchange",),
    "topic": ("broker",),
    "table": ("catalog", "store"),
}


def refuse_forbidden(pipeline: Pipeline, kind: str, stage: str) -> None:
    """
    Refuse a fault of *kind*, which acts on a *stage*, where that is what ``limits.never`` lists.

    Raises:
        UsageError: It is.
    """
    of_group = ("sink",) if _OF_DATA.get(kind) == _SINKS_GROUP else ()
    for role in (*_ACTED_ON[stage], *of_group):
        if role in pipeline.services:
            allowed_services(pipeline, role)


def not_shared(one: str, other: str) -> str:
    """
    What of one target faults of these two kinds cannot both change; empty where they can be held
    together.

    Two that change whether a container's processes run would each heal what the other broke, and
    two squeezes of one resource would each take the other's limit for that of before. Of two
    queues of one kind a packet passes only one. A squeeze that a container may die of starts it
    when it heals, and would start what another fault holds down.
    """
    what = excluded_by(one)
    if what and what == excluded_by(other):
        return what
    is_started_again = bool({one, other} & _DEADLY_SQUEEZES and {one, other} & _HELD_DOWN)
    return "whether it runs" if is_started_again else ""


def excluded_by(kind: str) -> str:
    """What a fault of *kind* has of its target to itself; empty where it shares everything."""
    if kind in _OF_DATA:
        return _OF_DATA[kind]
    if kind in _OF_PROCESSES:
        return "the state of its processes"
    if kind in _OF_QUEUES:
        return f"what becomes of the packets that it sends ({kind})"
    return f"its limits ({kind})" if kind.startswith("squeeze-") else ""
