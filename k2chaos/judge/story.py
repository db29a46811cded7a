"""
The story of each fault: when its effect began and ended, and until when it can be told.

It ends with the samples, or as the next fault begins after this one's end; faults that overlap are
one disturbance, and each has its story to the end of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from k2chaos.evidence.reading import RunEvidence
from k2chaos.judge.series import Samples, seconds_of


@dataclass(frozen=True, slots=True)
class Story:
    """
    One fault (or injection) and what can be told of the time after it.

    Attributes:
        begin: When its effect began.
        end: When its effect ended; ``None`` where it was not healed.
        until: Where its story ends: with the samples, or as the next fault begins.
        is_last: Whether it ends with the samples.
    """

    begin: float
    end: float | None
    until: float
    is_last: bool


def story_of(evidence: RunEvidence, event: Mapping[str, Any]) -> Story | None:
    """Where the story of one fault begins and ends; ``None`` where there are no samples of it."""
    span = Samples(evidence.samples).span if evidence.samples is not None else None
    begin, end = effect_of(event)
    if span is None or begin is None or begin >= span[1]:
        return None
    following = [
        other
        for other in map(_begin_of, _disturbances(evidence))
        if other is not None and other > (begin if end is None else end)
    ]
    until = min([span[1], *following])
    return Story(begin, end, until, is_last=until == span[1])


def effect_of(event: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """When the effect of a fault began and ended, as exactly as its event knows."""
    end = seconds_of(event.get("ended_at")) or seconds_of(event.get("healed_at"))
    return _begin_of(event), end


def _begin_of(event: Mapping[str, Any]) -> float | None:
    return seconds_of(event.get("began_at")) or seconds_of(event.get("injected_at"))


def _disturbances(evidence: RunEvidence) -> Iterator[Mapping[str, Any]]:
    for name in ("fault", "injection"):
        yield from evidence.events_named(name)


def steady_until(evidence: RunEvidence) -> float:
    """When the first fault was sent, or tried where nothing else is known of it."""
    moments = [
        seconds_of(event.get(name))
        for event in _disturbances(evidence)
        for name in ("sent_at", "began_at", "injected_at")
    ]
    held = {event.get("fault_id") for event in _disturbances(evidence)}
    moments += [
        seconds_of(entry.events[0].get("at"))
        for entry in evidence.ledger.entries
        if entry.fault_id not in held
    ]
    return min((one for one in moments if one is not None), default=np.inf)
