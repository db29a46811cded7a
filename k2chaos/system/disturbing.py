"""Holding faults of topic and table for a run: the path of every action on them."""

from collections.abc import Iterator
from typing import Any

from k2chaos.errors import Unsupported, UsageError
from k2chaos.system.faults import Fault
from k2chaos.system.holding import Wish, hold_all
from k2chaos.system.run import Run
from k2chaos.system.runtime import Endpoint

_SLACK_SECONDS = 60.0
"""What lives in a thread of ours ends by itself so long after it should have been ended."""


def hold_topic(run: Run, kind: type[Any], wish: Wish, **fields: Any) -> dict[str, Any]:
    """Hold ``kind(topic, **fields)``; `Unsupported` where the pipeline has no topic."""
    return _hold(run, "topic", kind, wish, fields)


def hold_table(run: Run, kind: type[Any], wish: Wish, **fields: Any) -> dict[str, Any]:
    """Hold ``kind(table, **fields)``; `Unsupported` where the pipeline has no table."""
    return _hold(run, "table", kind, wish, fields)


def longest_of(wish: Wish) -> float:
    """After how many seconds a thread of ours is to end, whoever forgot to end it."""
    return wish.start_after_seconds + wish.duration_seconds + _SLACK_SECONDS


def _hold(
    run: Run, stage: str, kind: type[Any], wish: Wish, fields: dict[str, Any]
) -> dict[str, Any]:
    def chosen() -> Iterator[Fault]:
        with run.noting_unsupported():
            place = {"topic": run.pipeline.topic, "table": run.pipeline.table}[stage]
            if place is None:
                has = ", ".join(run.pipeline.stages)
                message = f"pipeline {run.pipeline.name} has no {stage}; its stages: {has}"
                raise Unsupported(message)
        _refuse_overlap(run, kind.kind)
        yield kind(Endpoint(stage, place.name), **fields)

    return hold_all(run, chosen(), wish)


def _refuse_overlap(run: Run, kind: str) -> None:
    """Two of a kind would each take the other's setting for what was there before."""
    held = [entry.fault_id for entry in run.open_faults() if entry.fault.get("kind") == kind]
    if held:
        message = f"{kind} is held already ({held[0]}); one at a time. Nothing was touched"
        raise UsageError(message)
