"""
Holding a fault for a time on behalf of a run: choose targets, hold, record what was achieved.

The path of every action; refuses what the pipeline file's limits forbid before anything is
touched.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final

from k2chaos.errors import UsageError
from k2chaos.system.bounds import LONGEST_START_SECONDS
from k2chaos.system.faults import Fault, Hold
from k2chaos.system.faults.catalogue import INJECTIONS
from k2chaos.system.faults.held import held_together, new_hold, watch
from k2chaos.system.run import Run
from k2chaos.system.runtime import select

_INTERNAL: Final = frozenset({"fault", "held_from", "held_until", "held_seconds", "watch_seconds"})


@dataclass(frozen=True, slots=True)
class Wish:
    """
    For how long, and from when on, faults are to be held.

    Attributes:
        role: What the target is to the pipeline.
        duration_seconds: How long the effect is to last.
        start_after_seconds: From the call to the effect; 0 is as soon as it is prepared.
    """

    role: str
    duration_seconds: float
    start_after_seconds: float = 0.0


def hold_for(
    run: Run,
    kind: Callable[..., Fault],
    wish: Wish,
    *,
    service: str = "",
    count: int = 1,
    **parameters: Any,
) -> dict[str, Any]:
    """
    Hold ``kind(target, **parameters)`` on every container that the wish's role means, at once.

    Returns:
        ``{"faults": [...]}``: one entry a container, as it goes into the evidence.
    """

    def chosen() -> Iterator[Fault]:
        with run.noting_unsupported():
            targets = select(run.runtime, run.pipeline, wish.role, service or None, count)
        yield from (kind(target, **parameters) for target in targets)

    longest = run.pipeline.limits.longest_fault_seconds
    refuse_bad_duration(parameters.get("grace_seconds", 0.0), longest)
    return hold_all(run, chosen(), wish)


def hold_all(run: Run, chosen: Iterable[Fault], wish: Wish) -> dict[str, Any]:
    """
    Hold the *chosen* faults, all at once; the path of every action.

    They are chosen only once the wish was found good: nothing is asked of the engine before.

    Returns:
        ``{"faults": [...]}``: one entry a fault, as it goes into the evidence; injections, which
        the evidence keeps apart, stand under ``injections``.

    Raises:
        UsageError: The pipeline file's limits forbid it, or something that is held and cannot be
            held together with it; nothing was touched.
    """
    refuse_bad_duration(wish.duration_seconds, run.pipeline.limits.longest_fault_seconds)
    refuse_bad_duration(wish.start_after_seconds, LONGEST_START_SECONDS, "start_after")
    faults = [*chosen]
    holding = run.holding()
    longest = wish.duration_seconds + max(getattr(one, "grace_seconds", 0.0) for one in faults)
    begin_at = None
    if wish.start_after_seconds:
        begin_at = run.clock.now() + timedelta(seconds=wish.start_after_seconds)
    records = [new_hold(fault, holding, begin_at) for fault in faults]
    try:
        with (
            run.admission.of(faults, run.open_faults(), run.pipeline),
            run.stop_conditions.watched(),
            held_together(records, longest, holding),
        ):
            watch(records, wish.duration_seconds, holding)
    finally:
        # Those that were held although another failed must be on record too.
        entries = [_entry(wish, one) for one in records if one.held_from is not None]
        for entry in entries:
            run.folder.append_event(_noun(entry), **entry)
    run.interrupt.refuse_when_requested()
    by_noun: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        by_noun.setdefault(f"{_noun(entry)}s", []).append(entry)
    return by_noun


def refuse_bad_duration(seconds: float, longest: float, name: str = "duration") -> None:
    """
    Check how long a fault may last.

    Raises:
        UsageError: It is no number, negative, or longer than the pipeline file allows.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        message = f"{name} must be a number of seconds, not {seconds!r}"
        raise UsageError(message)
    if not 0 <= seconds <= longest:
        limit = " (limits.longest_fault_seconds)" if name == "duration" else ""
        message = f"{name} must lie between 0 and {longest:g} s{limit}, not {seconds:g}"
        raise UsageError(message)


def _noun(entry: Mapping[str, Any]) -> str:
    """What the evidence calls it."""
    return "injection" if entry["kind"] in INJECTIONS else "fault"


def _entry(wish: Wish, record: Hold) -> dict[str, Any]:
    facts = {each.name: getattr(record, each.name) for each in fields(record)}
    return {
        **{name: value for name, value in facts.items() if name not in _INTERNAL},
        "kind": record.fault.kind,
        "target": str(record.fault.target),
        "role": wish.role,
        "requested_seconds": wish.duration_seconds,
        "achieved_seconds": round(record.achieved_seconds, 4),
        "start_error_seconds": record.start_error_seconds,
        **{
            name: moment.isoformat() if isinstance(moment, datetime) else None
            for name, moment in facts.items()
            if name.endswith("_at")
        },
    }
