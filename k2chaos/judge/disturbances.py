"""What a run did to its pipeline, by its events: faults and injections, and when they acted."""

from collections.abc import Iterator, Mapping
from typing import Any

from k2chaos.evidence.reading import DISTURBANCES, RunEvidence
from k2chaos.judge.series import seconds_of


def disturbances(evidence: RunEvidence) -> Iterator[Mapping[str, Any]]:
    """The events of all faults and injections."""
    for name in DISTURBANCES:
        yield from evidence.events_named(name)


def effect_of(event: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """When the effect of a fault began and ended, as exactly as its event knows (since 1970)."""
    end = seconds_of(event.get("ended_at")) or seconds_of(event.get("healed_at"))
    return begin_of(event), end


def begin_of(event: Mapping[str, Any]) -> float | None:
    """When the effect of a fault began; ``None`` where the event does not know."""
    return seconds_of(event.get("began_at")) or seconds_of(event.get("injected_at"))
