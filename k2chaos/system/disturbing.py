"""Holding faults of topic and table for a run: the path of every action on them."""

from collections.abc import Iterator
from typing import Any

from k2chaos.errors import Unsupported
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
        yield kind(Endpoint(stage, place.name), **fields)

    return hold_all(run, chosen(), wish)
