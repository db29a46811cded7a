"""
Holding a fault for a time on behalf of a run: choose targets, hold, record what was achieved.

The path of every action; refuses what the pipeline file's limits forbid before anything is
touched.
"""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Final

from k2chaos.errors import UsageError
from k2chaos.system.faults import Fault, Hold
from k2chaos.system.faults.held import held, watch
from k2chaos.system.run import Run
from k2chaos.system.runtime import Container, select

# The engine gives no less (a quota of 1 ms in a period of 100 ms).
_FEWEST_CORES: Final = 0.01
_INTERNAL: Final = frozenset({"fault", "held_seconds", "watch_seconds"})


def hold_for(
    run: Run,
    kind: Callable[..., Fault],
    role: str,
    duration_seconds: float,
    *,
    service: str = "",
    count: int = 1,
    **parameters: Any,
) -> dict[str, Any]:
    """
    Hold ``kind(target, **parameters)`` on every container that *role* means, all at once.

    Returns:
        ``{"faults": [...]}``: one entry a container, as it goes into the evidence.
    """
    refuse_bad_duration(duration_seconds, run.pipeline.limits.longest_fault_seconds)
    refuse_bad_duration(
        parameters.get("grace_seconds", 0.0), run.pipeline.limits.longest_fault_seconds
    )
    with run.noting_unsupported():
        targets = select(run.runtime, run.pipeline, role, service or None, count)
    _refuse_too_many(run, targets)
    longest = duration_seconds + parameters.get("grace_seconds", 0.0)
    faults = [kind(target, **parameters) for target in targets]
    holding = run.holding()
    records: list[Hold] = []
    try:
        with contextlib.ExitStack() as stack:
            # One by one: those that were held before another failed must be on record too.
            records.extend(stack.enter_context(held(fault, longest, holding)) for fault in faults)
            watch(records, duration_seconds, holding)
    finally:
        entries = [_entry(role, duration_seconds, record) for record in records]
        for entry in entries:
            run.folder.append_event("fault", **entry)
    run.interrupt.refuse_when_requested()
    return {"faults": entries}


def refuse_bad_duration(seconds: float, longest: float) -> None:
    """
    Check how long a fault may last.

    Raises:
        UsageError: It is no number, negative, or longer than the pipeline file allows.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        message = f"duration must be a number of seconds, not {seconds!r}"
        raise UsageError(message)
    if not 0 <= seconds <= longest:
        message = (
            f"duration must lie between 0 and {longest:g} s "
            f"(limits.longest_fault_seconds), not {seconds:g}"
        )
        raise UsageError(message)


def refuse_bad_share(cores: Any) -> None:
    """
    Check how much of a core a squeezed container keeps.

    Raises:
        UsageError: It is no number, or below what the engine can give.
    """
    is_number = isinstance(cores, int | float) and not isinstance(cores, bool)
    if not (is_number and math.isfinite(cores) and cores >= _FEWEST_CORES):
        message = f"cores must be a number of at least {_FEWEST_CORES}, not {cores!r}"
        raise UsageError(message)


def _refuse_too_many(run: Run, targets: Sequence[Container]) -> None:
    limits = run.pipeline.limits
    open_now = run.open_faults()
    broken = {str(entry.fault.get("target", {}).get("service")) for entry in open_now}
    services = broken | {target.service for target in targets}
    for name, count, limit in (
        ("faults_at_once", len(open_now) + len(targets), limits.faults_at_once),
        ("impaired_services_at_once", len(services), limits.impaired_services_at_once),
    ):
        if count > limit:
            message = (
                f"{len(targets)} faults asked for while {len(open_now)} are open: that makes "
                f"{count}, and limits.{name} of pipeline {run.pipeline.name} is {limit}"
            )
            raise UsageError(message)


def _entry(role: str, requested_seconds: float, record: Hold) -> dict[str, Any]:
    facts = {each.name: getattr(record, each.name) for each in fields(record)}
    return {
        **{name: value for name, value in facts.items() if name not in _INTERNAL},
        "kind": record.fault.kind,
        "target": str(record.fault.target),
        "role": role,
        "requested_seconds": requested_seconds,
        "achieved_seconds": round(record.held_seconds, 4),
        **{
            name: moment.isoformat() if moment else None
            for name, moment in (
                ("tried_at", record.tried_at),
                ("injected_at", record.injected_at),
                ("healed_at", record.healed_at),
            )
        },
    }
