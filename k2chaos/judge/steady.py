"""
The steady band: what the pipeline did while it was well, before the first fault.

A stage is inside the band while it answers, while it is no staler than the worst that was seen of
it in the steady time and a second more, and, for the first stage, while its newest ids rise.

* The worst, not a quantile: the steady time of a run is short (some ten seconds, a handful of
  commits), and whoever calls a breach what was seen before the fault blames the fault for it.
* A second more: what one late commit or one pause of a runtime adds in a pipeline that is well;
  and a maximum that is sampled falls short of the true one by up to a sampling interval.
* Only of the first stage the ids are watched: behind it, freshness says the same, and more
  sharply. Of what stands before everything else it says nothing: there all is visible at once.
* A stage that failed to answer in the steady time does not leave the band by failing once more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from k2chaos.judge.series import Booleans, Floats, Samples, Series, advances

MARGIN_SECONDS: Final = 1.0
FEWEST_SAMPLES: Final = 5
"""Of a stage that was looked at less often in the steady time, nothing is known."""


@dataclass(frozen=True, slots=True)
class Standstill:
    """From when to when no newest id rose though something was missing; ``None``: until now."""

    begin: float
    end: float | None


@dataclass(frozen=True, slots=True)
class SteadyBand:
    """
    Where the pipeline was before the first fault.

    Attributes:
        freshness: By stage, how stale it may be, in seconds.
        standstill: By stage, how long its newest ids may stand still, in seconds.
        answering: The stages that answered every time.
    """

    freshness: Mapping[str, float] = field(default_factory=dict)
    standstill: Mapping[str, float] = field(default_factory=dict)
    answering: frozenset[str] = frozenset()

    @property
    def is_known(self) -> bool:
        """Whether anything can be held against it."""
        return bool(self.freshness or self.answering)


def steady_band(samples: Samples, stages: Sequence[str], until: float) -> SteadyBand:
    """The band of *stages*, from the samples before *until*."""
    freshness, standstill, answering = {}, {}, set()
    for stage in stages:
        attempts = samples.series(stage, "attempt_seconds").between(-np.inf, until)
        if len(attempts) < FEWEST_SAMPLES:
            continue
        if not np.isnan(attempts.values).any():
            answering.add(stage)
        ages = samples.series(stage, "freshness_seconds").between(-np.inf, until).known()
        if len(ages):
            freshness[stage] = float(ages.values.max()) + MARGIN_SECONDS
        still = standstills(samples, stage, until, is_first=stage == stages[0])
        longest = max(((one.end or until) - one.begin for one in still), default=None)
        if longest is not None:
            standstill[stage] = longest + MARGIN_SECONDS
    return SteadyBand(freshness, standstill, frozenset(answering))


def standstills(
    samples: Samples, stage: str, until: float, *, is_first: bool
) -> tuple[Standstill, ...]:
    """
    The times between two rises of the newest ids of *stage*, and from the last one on.

    Each counts from when something was missing: an idle market is nobody's standstill. At the
    first stage nothing ever is, and all of the time counts.
    """
    rises = advances(samples.by_key(stage, "newest_id"))
    rises = rises[rises <= until]
    if not rises.size:
        return ()
    ages = samples.series(stage, "freshness_seconds").between(-np.inf, until).known()
    whole = ages.at[ages.values == 0.0] if not is_first else ages.at[:0]
    begins = _since_missing(rises, np.append(rises[1:], until), whole)
    ends = [*map(float, rises[1:]), None]
    return tuple(Standstill(float(a), b) for a, b in zip(begins, ends, strict=True))


def _since_missing(rises: Floats, ends: Floats, whole: Floats) -> Floats:
    """Each rise, or the last moment after it (and before the end) at which nothing was missing."""
    if not whole.size:
        return rises
    place = np.searchsorted(whole, ends, side="left") - 1
    latest = np.where(place >= 0, whole[np.maximum(place, 0)], -np.inf)
    return np.maximum(rises, latest)


def first_breach(
    samples: Samples, stages: Sequence[str], band: SteadyBand, begin: float, end: float
) -> float | None:
    """When the first sample from *begin* to *end* lies outside the *band*; ``None``: never."""
    breaches = [
        *(_stale(samples, stage, bound, begin, end) for stage, bound in band.freshness.items()),
        *(_refused(samples, stage, begin, end) for stage in sorted(band.answering)),
        _stands_still(samples, stages[0], band, begin, end),
    ]
    return min((one for one in breaches if one is not None), default=None)


def _stale(samples: Samples, stage: str, bound: float, begin: float, end: float) -> float | None:
    ages = samples.series(stage, "freshness_seconds").between(begin, end)
    return _first(ages, ages.values > bound)


def _refused(samples: Samples, stage: str, begin: float, end: float) -> float | None:
    attempts = samples.series(stage, "attempt_seconds").between(begin, end)
    return _first(attempts, np.isnan(attempts.values))


def _stands_still(
    samples: Samples, stage: str, band: SteadyBand, begin: float, end: float
) -> float | None:
    bound = band.standstill.get(stage)
    if bound is None:
        return None
    over = (
        max(one.begin + bound, begin)
        for one in standstills(samples, stage, end, is_first=True)
        if one.begin + bound < (end if one.end is None else one.end)
        and (one.end is None or one.end > begin)
    )
    return min(over, default=None)


def _first(series: Series, is_outside: Booleans) -> float | None:
    outside = np.flatnonzero(is_outside)
    return float(series.at[outside[0]]) if outside.size else None
