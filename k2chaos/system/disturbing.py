"""Holding faults of what has no container for a run: the exchange's feed, the topic, the table."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

from k2chaos.system.amounts import refuse_bad_amount
from k2chaos.system.bounds import refuse_forbidden
from k2chaos.system.endpoints import endpoint_of
from k2chaos.system.faults import Fault
from k2chaos.system.faults.steps import HEAL_DEADLINE_SECONDS
from k2chaos.system.holding import Wish, hold_all
from k2chaos.system.run import Run
from k2chaos.system.runtime import Endpoint


class AtStage(Protocol):
    """A kind of fault or injection that acts on a stage, not on a container."""

    stage: str

    def __call__(self, *arguments: Any, **fields: Any) -> Fault:
        """One that acts on the endpoint of its stage."""


def hold_feed(
    run: Run, kind: AtStage, duration: float, start_after: float, **amounts: float
) -> dict[str, Any]:
    """
    Hold a fault of *kind* on the feed of the run's exchange; *amounts* are the kind's own.

    Raises:
        UsageError: An amount is out of bounds; nothing was touched.
        Unsupported: The pipeline has no exchange.
    """
    for name, value in amounts.items():
        refuse_bad_amount(name, value)

    def made(target: Endpoint) -> Fault:
        # The order outlasts the holding: only a dead holder leaves its end to the exchange.
        return kind(target, longest_seconds=duration + HEAL_DEADLINE_SECONDS, **amounts)

    return _hold(run, kind.stage, made, Wish("exchange", duration, start_after))


def hold_at_stage(run: Run, kind: AtStage, wish: Wish, **fields: Any) -> dict[str, Any]:
    """Hold ``kind(its stage, **fields)``; `Unsupported` where the pipeline has no such stage."""
    return _hold(run, kind.stage, partial(kind, **fields), wish)


def longest_of(wish: Wish) -> float:
    """After how many seconds a thread of ours is to end, whoever forgot to end it."""
    return wish.start_after_seconds + wish.duration_seconds + HEAL_DEADLINE_SECONDS


def _hold(run: Run, stage: str, made: Callable[[Endpoint], Fault], wish: Wish) -> dict[str, Any]:
    def chosen() -> Iterator[Fault]:
        with run.noting_unsupported():
            target = endpoint_of(run.pipeline, stage)
        fault = made(target)
        refuse_forbidden(run.pipeline, fault.kind, stage)
        yield fault

    return hold_all(run, chosen(), wish)
