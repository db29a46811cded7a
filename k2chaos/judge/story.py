"""
The story of each fault: when its effect began and ended, and until when it can be told.

It ends with the samples, or as the next fault begins after this one's end; faults that overlap are
one disturbance, and each has its story to the end of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from k2chaos.evidence.reading import RunEvidence
from k2chaos.judge.attempts import samples_in_order
from k2chaos.judge.disturbances import begin_of, disturbances, effect_of
from k2chaos.judge.series import seconds_of


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
    samples = samples_in_order(evidence)
    begin, end = effect_of(event)
    if samples is None or begin is None or begin >= samples.end:
        return None
    following = [
        other
        for other in map(begin_of, disturbances(evidence))
        if other is not None and other > (begin if end is None else end)
    ]
    until = min([samples.end, *following])
    return Story(begin, end, until, is_last=until == samples.end)


def steady_until(evidence: RunEvidence) -> float:
    """When the first fault was sent, or tried where nothing else is known of it."""
    moments = [
        seconds_of(event.get(name))
        for event in disturbances(evidence)
        for name in ("sent_at", "began_at", "injected_at")
    ]
    held = {event.get("fault_id") for event in disturbances(evidence)}
    moments += [
        seconds_of(entry.events[0].get("at"))
        for entry in evidence.ledger.entries
        if entry.fault_id not in held
    ]
    return min((one for one in moments if one is not None), default=np.inf)
