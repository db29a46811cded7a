"""Holding a fault of the feed on behalf of a run: the path of every action of `actions.feed`."""

from collections.abc import Callable, Iterator
from typing import Any

from k2chaos.errors import Unsupported
from k2chaos.pipeline import Pipeline
from k2chaos.system.amounts import refuse_bad_amount
from k2chaos.system.faults import Fault
from k2chaos.system.faults.feed import FeedFault
from k2chaos.system.faults.steps import HEAL_DEADLINE_SECONDS
from k2chaos.system.holding import Wish, hold_all
from k2chaos.system.run import Run
from k2chaos.system.runtime import Endpoint


def hold_feed(
    run: Run, kind: Callable[..., FeedFault], duration: float, start_after: float, **amounts: float
) -> dict[str, Any]:
    """
    Hold a fault of *kind* on the feed of the run's exchange; *amounts* are the kind's own.

    Raises:
        UsageError: An amount is out of bounds; nothing was touched.
        Unsupported: The pipeline has no exchange.
    """

    def chosen() -> Iterator[Fault]:
        with run.noting_unsupported():
            target = feed_of(run.pipeline)
        # The order outlasts the holding, so that only a dead holder leaves its end to the exchange.
        yield kind(target, longest_seconds=duration + HEAL_DEADLINE_SECONDS, **amounts)

    for name, value in amounts.items():
        refuse_bad_amount(name, value)
    return hold_all(run, chosen(), Wish("exchange", duration, start_after))


def feed_of(pipeline: Pipeline) -> Endpoint:
    """Where the exchange of *pipeline* takes orders; `Unsupported` where it has none."""
    if pipeline.exchange is None:
        message = f"pipeline {pipeline.name} has no exchange, so its feed cannot be disturbed"
        raise Unsupported(message)
    return Endpoint("exchange", pipeline.exchange.control)
