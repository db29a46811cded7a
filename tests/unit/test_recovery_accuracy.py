"""
Recovery against ground truth: a synthetic pipeline with scripted faults, looked at on a grid.

The truth is worked out from the moments at which each record became visible, never from samples.
Every phase must lie within one sampling interval and 50 ms of it. Where the truth itself hangs by
less than that (a pause as long as the band is wide, a spike between two looks), each answer that an
observer may honestly give is allowed; how rarely, the last test says.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from k2chaos.evidence.ledger import LedgerReading
from k2chaos.evidence.reading import RunEvidence
from k2chaos.judge.recovery import PHASES, recoveries
from tests.fakes.synthetic import STAGES, Script, Span, Synthetic, event_of, scripted

TOLERANCE = 0.05
SEEDS = 200

Answer = float | None


@dataclass(frozen=True)
class Truth:
    """Every answer that is true, and by how much a measured one may differ from one of them."""

    answers: frozenset[Answer]
    interval: float

    def allows(self, measured: Answer) -> bool:
        if measured is None:
            return None in self.answers
        within = self.interval + TOLERANCE
        return any(one is not None and abs(measured - one) <= within for one in self.answers)


@dataclass(frozen=True, eq=False)
class Story:
    """One fault of a script, from its beginning to where its story ends; script time."""

    model: Synthetic
    number: int

    @property
    def script(self) -> Script:
        return self.model.script

    @property
    def begin(self) -> float:
        return self.script.troubles[self.number].begin

    @property
    def heal(self) -> float:
        return self.script.troubles[self.number].end

    @property
    def steady(self) -> float:
        return self.script.troubles[0].begin

    @property
    def until(self) -> float:
        grids = [*zip(self.script.intervals, self.script.offsets, strict=True), self.script.engine]
        end = max(np.arange(first, self.script.seconds, step)[-1] for step, first in grids)
        return min([float(end), *(one.begin for one in self.script.troubles[self.number + 1 :])])

    def interval(self, stage: str) -> float:
        return self.script.intervals[STAGES.index(stage)]

    def truths(self) -> dict[str, Truth]:
        return {
            "detected_seconds": self._detected(),
            "service_seconds": self._service(),
            "flow_seconds": self._flow(),
            "caught_up_seconds": self._caught_up(),
            "fresh_seconds": self._fresh(),
        }

    def _relative(self, answers: set[Answer], interval: float) -> Truth:
        """As seconds from the injection; what is reached as the story ends may be missed."""
        late = {one for one in answers if one is not None and one + interval >= self.until}
        told: set[Answer] = {None for _ in late}
        told |= {one if one is None else max(one, self.begin) - self.begin for one in answers}
        return Truth(frozenset(told), interval)

    def _excursions(self, stage: str, bound: float, begin: float, end: float) -> list[Span]:
        """From when to when *stage* is staler than *bound*."""
        moments = self.model.breakpoints(stage, begin, end)
        ages = self.model.freshness(stage, moments)
        found: list[Span] = []
        for age, first, last in zip(ages, moments, moments[1:], strict=False):
            crossed = max(first, first + bound - age)
            if age > 0.0 and crossed < last:
                joins = bool(found) and found[-1][1] == first and crossed == first
                found[-1:] = [(found[-1][0], last)] if joins else [*found[-1:], (crossed, last)]
        return found

    def _highest(self, stage: str, end: float) -> float:
        """The staleness that *stage* nowhere exceeds until *end*."""
        first = self.script.offsets[STAGES.index(stage)]
        moments = self.model.breakpoints(stage, first, end)
        ages = self.model.freshness(stage, moments)[:-1]
        return float(np.max(np.where(ages > 0.0, ages + np.diff(moments), 0.0)))

    def _detected(self) -> Truth:
        """A sampled maximum may fall short by an interval; a spike of less may be missed."""
        widest = max(self.script.intervals)
        refused = [max(a, self.begin) for one in STAGES for a, b in self.model.refusals(one)
                   if b > self.begin and a < self.until]  # fmt: skip
        possible, certain = [*refused], [*refused]
        for stage in STAGES[1:]:
            bound, step = self._highest(stage, self.steady) + 1.0, self.interval(stage)
            lower = self._excursions(stage, bound - step, self.begin, self.until)
            upper = self._excursions(stage, bound, self.begin, self.until)
            possible += [a + step for a, _ in lower]
            certain += [a for a, b in upper if b - a >= step]
        latest = min(certain, default=None)
        answers: set[Answer] = {latest}
        answers |= {one for one in possible if latest is None or one < latest}
        return self._relative(answers, widest)

    def _service(self) -> Truth:
        spans = [*self.model.impaired(), *(one for s in STAGES for one in self.model.refusals(s))]
        ends = [b for a, b in spans if b > self.begin and a < self.until]
        latest = max(ends, default=self.begin)
        answer: Answer = None if latest >= self.until else latest
        return self._relative({answer}, max(*self.script.intervals, self.script.engine[0]))

    def _standstills(self, until: float) -> list[tuple[float, Answer]]:
        """From a rise, or from the first record that was missing after it, to the next rise."""
        sent, shown = self.model.emitted[0], self.model.visible["api"]
        rises = np.unique(shown[shown <= until])
        following = np.append(sent, np.inf)[np.searchsorted(sent, rises, side="right")]
        is_whole = (self.model.freshness("api", rises) == 0.0) & np.isfinite(following)
        begins = np.where(is_whole, following, rises)
        return [*zip(map(float, begins), [*map(float, rises[1:]), None], strict=True)]

    def _flow(self) -> Truth:
        """A standstill about as long as the band allows may be taken for one or not."""
        step = self.interval("api")
        still = self._standstills(self.steady)
        bound = max((self.steady if b is None else b) - a for a, b in still) + 1.0
        still = self._standstills(self.until)
        answers = {
            self._resumed(still, bound + unsure, healed)
            for unsure in (-2 * step, 0.0, 2 * step)
            for healed in (self.heal - step, self.heal)
        }
        return self._relative(answers, step)

    def _resumed(self, still: list[tuple[float, Answer]], bound: float, healed: float) -> Answer:
        ends = [
            b
            for a, b in still
            if (self.until if b is None else b) - a > bound and (b is None or b > self.begin)
        ]
        after = [one for one in ends if one is None or one >= healed]
        return [*after[:1], *ends[-1:], self.begin][0]

    def _caught_up(self) -> Truth:
        """Up to the first look at the exchange after the heal."""
        step, first = self.interval("exchange"), self.script.offsets[0]
        cut = first + np.ceil(round((self.heal - first) / step, 9)) * step
        latest = float(self.model.visible["api"][self.model.emitted[0] <= cut].max())
        answer: Answer = None if latest > self.until else latest
        return self._relative({answer}, self.interval("api"))

    def _fresh(self) -> Truth:
        """A spike beyond the budget that falls between two looks may be missed."""
        step = self.interval("api")
        over = self._excursions("api", self.script.budget, self.begin, self.until)
        answers: set[Answer] = set()
        for begin, end in reversed(over):
            answers.add(None if end >= self.until else end)
            if end - begin >= step:
                break
        else:
            answers.add(self.begin)
        return self._relative(answers, step)

    def worst(self) -> float:
        moments = self.model.breakpoints("api", self.begin, self.until)
        ages = self.model.freshness("api", moments)[:-1]
        return float(np.max(np.where(ages > 0.0, ages + np.diff(moments), 0.0)))

    def area(self) -> tuple[float, float]:
        """Over the budget, and by how much a line through samples may be off, at falls and ends."""
        moments = self.model.breakpoints("api", self.begin, self.until)
        ages, steps = self.model.freshness("api", moments)[:-1], np.diff(moments)
        low = np.where(ages > 0.0, ages - self.script.budget, 0.0)
        high = np.where(ages > 0.0, low + steps, 0.0)
        over = (np.maximum(high, 0.0) ** 2 - np.maximum(low, 0.0) ** 2) / 2.0
        high, low = np.append(high, 0.0), np.append(0.0, low)
        falls = np.maximum(high, 0.0)[1:-1] - np.maximum(low, 0.0)[2:]
        ends = max(low[1], 0.0) + max(high[-2], 0.0)
        return float(over.sum()), float(np.maximum(falls, 0.0).sum() + ends) * self.interval("api")


def measured(model: Synthetic) -> list[dict[str, Any]]:
    """What the judge makes of a script."""
    troubles = enumerate(model.script.troubles, start=1)
    budgets = {"freshness_seconds": model.script.budget}
    evidence = RunEvidence(
        run={"pipeline": {"stages": list(STAGES), "budgets": budgets}},
        journal={},
        events=[event_of(one, number) for number, one in troubles],
        ledger=LedgerReading((), ()),
        window=None,
        records={},
        damage=(),
        samples=model.samples(),
    )
    found = recoveries(evidence, "fault")
    assert None not in found
    return [one for one in found if one is not None]


@cache
def stories(seed: int) -> tuple[Story, ...]:
    """The faults of a script."""
    model = Synthetic(scripted(seed))
    return tuple(Story(model, number) for number in range(len(model.script.troubles)))


@cache
def truths(story: Story) -> dict[str, Truth]:
    """What is true of it; worked out once."""
    return story.truths()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_phase_is_true_to_one_sampling_interval(seed: int) -> None:
    for story, found in zip(stories(seed), measured(stories(seed)[0].model), strict=True):
        phases = found["from_injection"]
        assert list(PHASES) == list(phases)
        for name, truth in truths(story).items():
            assert truth.allows(phases[name]), (name, phases[name], truth, story.begin)
        held = story.heal - story.begin
        for name, seconds in found["from_heal"].items():
            expected = None if phases[name] is None else phases[name] - held
            assert pytest.approx(expected, abs=0.002) == seconds
        step = story.interval("api") + TOLERANCE
        assert story.worst() - step <= found["worst_freshness_seconds"] <= story.worst() + 0.001
        area, off = story.area()
        assert pytest.approx(area, abs=off + step) == found["over_budget_area"]


def test_the_truth_leaves_little_room() -> None:
    """At least 19 of 20 phases have one true answer, and many of each sort are among them."""
    answers = [
        (name, truth.answers)
        for seed in range(SEEDS)
        for story in stories(seed)
        for name, truth in truths(story).items()
    ]
    single = [(name, *told) for name, told in answers if len(told) == 1]

    assert len(single) >= 0.95 * len(answers)
    for name in PHASES:
        assert len([one for phase, one in single if phase == name and one is None]) >= 5
        assert len([one for phase, one in single if phase == name and one]) >= SEEDS / 4
