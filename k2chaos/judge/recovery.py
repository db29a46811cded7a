"""
How a pipeline came back from each fault: five phases, out of samples and events.

What each means stands in `PHASES`. Which data is outside the band says `k2chaos.judge.steady`; a
standstill is one beyond that band; caught up is measured against the first look at the first stage
after the heal.

Each counts from when the effect of the fault began, and from when it ended (`from_heal`; below 0 is
before that), as exactly as the evidence knows. What was never lost counts from the injection: 0.
``None`` is never: not until the samples end, or until the next fault begins after this one's end. A
phase that nobody measured has no entry. The last stage stands for all: it is what users see. What
the samples end too early to show is taken from `await_recovery`, which looked for itself.

A phase is known to within one sampling interval: it is the first sample that shows it; of services,
exactly, where the engine told of the event.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from k2chaos.evidence.phases import PHASES
from k2chaos.evidence.reading import RunEvidence
from k2chaos.judge.attempts import answers, samples_in_order
from k2chaos.judge.disturbances import effect_of
from k2chaos.judge.series import Floats, Samples, Series, seconds_of
from k2chaos.judge.steady import SteadyBand, first_breach, standstills, steady_band
from k2chaos.judge.story import Story, steady_until, story_of

_ENGINE: Final = "engine"
_AWAITED: Final = ("service_seconds", "flow_seconds", "caught_up_seconds", "fresh_seconds")
_CAME_BACK: Final = frozenset({"start", "unpause", "health_status: healthy"})
_TOGETHER_SECONDS: Final = 0.001
"""Ids of one look may differ by so much in time."""


@dataclass(frozen=True, slots=True)
class _View:
    """
    What the phases are read from.

    Attributes:
        came_back: When the engine told of a container that it came back, in the order of time.
    """

    samples: Samples
    stages: Sequence[str]
    band: SteadyBand
    budget: float | None
    came_back: Floats

    @property
    def last(self) -> str:
        return self.stages[-1]


@dataclass(frozen=True, slots=True)
class _Reached:
    """When a phase was reached (``None``: never), and when a sample last said otherwise."""

    at: float | None
    bad_until: float = -np.inf


def recoveries(evidence: RunEvidence, name: str) -> list[dict[str, Any] | None]:
    """
    The recovery from each event called *name* (``fault`` or ``injection``), in their order.

    Returns:
        As it stands in ``verdict.json``; ``None`` where nothing is known. What the samples do not
        tell is taken from `await_recovery`, which looked for itself.
    """
    view = _view(evidence)
    return [_recovery(evidence, view, event) for event in evidence.events_named(name)]


def _view(evidence: RunEvidence) -> _View | None:
    """``None`` without samples, or without anything to hold them against."""
    stages = evidence.stages
    samples = samples_in_order(evidence)
    if samples is None or not stages:
        return None
    band = steady_band(samples, stages, steady_until(evidence))
    budget = evidence.run.get("pipeline", {}).get("budgets", {}).get("freshness_seconds")
    return _View(samples, stages, band, budget, _came_back(evidence))


def _came_back(evidence: RunEvidence) -> Floats:
    events = evidence.events_named("engine")
    moments = [seconds_of(event["at"]) for event in events if event.get("action") in _CAME_BACK]
    return np.sort(np.array(moments, dtype=np.float64))


def _recovery(
    evidence: RunEvidence, view: _View | None, event: Mapping[str, Any]
) -> dict[str, Any] | None:
    begin, end = effect_of(event)
    phases = _awaited(evidence, event)
    story = story_of(evidence, event)
    extent: dict[str, float | None] = {}
    if view is not None and story is not None:
        told = dict(_phases(view, story))
        phases |= {name: _settled(one, phases.get(name), story) for name, one in told.items()}
        extent = _extent(view, story)
    if begin is None or not (phases or extent):
        return None
    return {
        "from_injection": _counted(phases, begin),
        "from_heal": _counted(phases, end),
        "worst_freshness_seconds": extent.get("worst"),
        "over_budget_area": extent.get("area"),
    }


def _counted(phases: Mapping[str, float | None], since: float | None) -> dict[str, float | None]:
    """Every phase that was measured, in seconds from *since*."""
    if since is None:
        return {}
    measured = ((name, phases[name]) for name in PHASES if name in phases)
    return {name: None if at is None else round(at - since, 3) for name, at in measured}


def _awaited(evidence: RunEvidence, event: Mapping[str, Any]) -> dict[str, float | None]:
    """When `await_recovery`, called next after the fault, saw each phase; empty: it was not."""
    awaited = next(
        (one for one in evidence.events_named("recovery") if one["at"] >= event["at"]), {}
    )
    called = seconds_of(awaited.get("called_at"))
    if called is None:
        return {}
    seen = ((name, awaited[name]) for name in _AWAITED if name in awaited)
    return {name: None if seconds is None else called + seconds for name, seconds in seen}


def _settled(told: _Reached, awaited: float | None, story: Story) -> float | None:
    """
    When a phase was reached. What the samples do not show to their end, `await_recovery` may have
    seen after the last of them that says otherwise.
    """
    is_of_story = awaited is not None and (story.is_last or awaited <= story.until)
    if told.at is None and awaited is not None and is_of_story and awaited > told.bad_until:
        return awaited
    return told.at


def _phases(view: _View, story: Story) -> Iterator[tuple[str, _Reached]]:
    """When each phase that can be told was reached."""
    if view.band.is_known:
        breach = first_breach(view.samples, view.stages, view.band, story.begin, story.until)
        yield "detected_seconds", _Reached(breach)
    services = _services(view.samples)
    healed = story.begin if story.end is None else story.end
    # An engine that was not seen after the heal says nothing of what runs.
    if services and all(len(one.between(healed, np.inf)) for one in services):
        attempts = [answers(view.samples, stage) for stage in view.stages]
        up = [_well_since(one, one.values > 0, story) for one in services]
        answered = [_well_since(one, np.isnan(one.values), story) for one in attempts]
        yield "service_seconds", _all([*(_sharpened(one, view.came_back) for one in up), *answered])
    if view.last in view.band.standstill:
        yield "flow_seconds", _Reached(_flow(view, story))
    yield from _caught_up(view, story)
    ages = view.samples.series(view.last, "freshness_seconds").known()
    if view.budget is not None and len(ages.between(story.begin, story.until)):
        yield "fresh_seconds", _well_since(ages, ages.values > view.budget, story)


def _services(samples: Samples) -> list[Series]:
    """Series that are above 0 while a service does not run or is not healthy."""
    impaired = samples.series(_ENGINE, "impaired_services").known()
    if len(impaired):
        return [impaired]
    states = [
        series.known()
        for quantity in ("running", "healthy")
        for series in samples.by_key(_ENGINE, quantity).values()
    ]
    return [Series(one.at, 1.0 - one.values) for one in states]


def _well_since(series: Series, is_bad: Any, story: Story) -> _Reached:
    """From when on to the end no sample is bad; the injection where none was."""
    inside = (series.at >= story.begin) & (series.at <= story.until)
    bad = np.flatnonzero(inside & is_bad)
    if not bad.size:
        return _Reached(story.begin)
    last = int(bad[-1])
    good = np.flatnonzero(inside[last + 1 :])
    since = float(series.at[last + 1 + good[0]]) if good.size else None
    return _Reached(since, float(series.at[last]))


def _sharpened(told: _Reached, came_back: Floats) -> _Reached:
    """The moment at which the engine says that a service came back, where it lies in between."""
    if told.at is None:
        return told
    between = came_back[(came_back > told.bad_until) & (came_back <= told.at)]
    return _Reached(float(between[-1]), told.bad_until) if between.size else told


def _all(parts: Sequence[_Reached]) -> _Reached:
    """When the last of *parts* was reached; never, where one of them was not."""
    moments = [one.at for one in parts if one.at is not None]
    since = max(moments) if len(moments) == len(parts) else None
    return _Reached(since, max(one.bad_until for one in parts))


def _flow(view: _View, story: Story) -> float | None:
    """
    The end of the first standstill beyond the band that outlasts the fault, or else of the last
    one: flow is resumed when it first comes back with the fault gone.
    """
    bound = view.band.standstill[view.last]
    found = standstills(view.samples, view.last, story.until, is_first=len(view.stages) == 1)
    ends = [
        one.end
        for one in found
        if (one.end or story.until) - one.begin > bound and (one.end or np.inf) > story.begin
    ]
    if not ends:
        return story.begin
    healed = story.begin if story.end is None else story.end
    return next((one for one in ends if one is None or one >= healed), ends[-1])


def _caught_up(view: _View, story: Story) -> Iterator[tuple[str, _Reached]]:
    """Nothing is told where the samples end before the band lets what was emitted arrive."""
    first = _first_look(view, story)
    wanted = {} if first is None else _emitted(view, first)
    if first is None or not wanted:
        return
    shown = view.samples.by_key(view.last, "newest_id")
    moments = [
        _reached(shown[key].known(), last, story) if key in shown else _Reached(None)
        for key, last in wanted.items()
    ]
    told = _all(moments)
    due = first + view.band.freshness.get(view.last, 0.0)
    looks = answers(view.samples, view.last).between(due, story.until)
    if told.at is not None or len(looks):
        yield "caught_up_seconds", told


def _first_look(view: _View, story: Story) -> float | None:
    """When the first stage was first looked at after the heal."""
    if story.end is None:
        return None
    by_key = view.samples.by_key(view.stages[0], "newest_id")
    looks = [one.between(story.end, story.until).known().at for one in by_key.values()]
    return min((float(at[0]) for at in looks if at.size), default=None)


def _emitted(view: _View, moment: float) -> dict[str, float]:
    """By key what the first stage showed at that look; empty: nobody knows."""
    by_key = view.samples.by_key(view.stages[0], "newest_id")
    newest = {key: one.last_before(moment + _TOGETHER_SECONDS) for key, one in by_key.items()}
    return {key: last for key, last in newest.items() if last}


def _reached(shown: Series, last: float, story: Story) -> _Reached:
    """From when on the newest id is at least *last*."""
    before = shown.last_before(story.begin)
    if before is not None and before >= last:
        return _Reached(story.begin)
    since = _well_since(shown, shown.values < last, story)
    if since.at != story.begin:
        return since
    # Nothing behind was seen since the injection: the first sample is what shows it.
    inside = shown.between(story.begin, story.until)
    return _Reached(float(inside.at[0]) if len(inside) else None)


def _extent(view: _View, story: Story) -> dict[str, float | None]:
    """How stale the last stage became, and for how long by how much beyond the budget."""
    ages = view.samples.series(view.last, "freshness_seconds").between(story.begin, story.until)
    ages = ages.known()
    if not len(ages):
        return {}
    area = None
    if view.budget is not None:
        over = np.maximum(ages.values - view.budget, 0.0)
        area = round(_area(ages.at, over), 3)
    return {"worst": round(float(ages.values.max()), 3), "area": area}


def _area(at: Floats, values: Floats) -> float:
    """Under the line through the samples."""
    return float(np.sum(np.diff(at) * (values[1:] + values[:-1]) / 2.0))
