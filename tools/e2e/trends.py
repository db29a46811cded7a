"""
What the runs say over time: pure numbers, for the terminal and for the page.

Rules: only sessions that ran as many tests as the last whole one are compared in time; a test that
only passes or only fails is not flaky.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tools.e2e.runs import PASSED, Line, Run

FAILED: Final = frozenset({"failed", "error"})
RESOURCES: Final = "resources."
_BARS: Final = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Point:
    """One value, and the run and commit that it is of."""

    run: str
    commit: str
    value: float


@dataclass(frozen=True)
class Series:
    """One measurement over runs, oldest first; there is at least one."""

    group: str
    name: str
    points: tuple[Point, ...]

    @property
    def values(self) -> list[float]:
        """The bare values."""
        return [one.value for one in self.points]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1].value

    @property
    def median(self) -> float:
        """The middle of them."""
        return statistics.median(self.values)

    @property
    def sparkline(self) -> str:
        """A bar a run, from the least to the most."""
        least, most = min(self.values), max(self.values)
        if least == most:
            return _BARS[0] * len(self.values)
        step = (len(_BARS) - 1) / (most - least)
        return "".join(_BARS[round((value - least) * step)] for value in self.values)


@dataclass(frozen=True)
class Record:
    """How one test ended over runs; by run, nothing where it did not run."""

    test: str
    outcomes: tuple[str | None, ...]
    reason: str

    @property
    def failures(self) -> int:
        """How often it did not pass."""
        return sum(one in FAILED for one in self.outcomes)

    @property
    def is_flaky(self) -> bool:
        """Whether it failed, and passed as well."""
        return self.failures > 0 and PASSED in self.outcomes


def sessions(runs: Sequence[Run]) -> list[Series]:
    """The time of the whole session, over those that ran as much as the last whole one."""
    whole = [run for run in runs if run.is_whole and run.session]
    if not whole:
        return []
    like = [run for run in whole if len(run.tests) == len(whole[-1].tests)]
    points = [_point(run, float((run.session or {})["seconds"])) for run in like]
    name = f"session of {len(whole[-1].tests)} tests, seconds"
    return [Series("session", name, tuple(points))]


def sentence(test: str) -> str:
    """The name of a test as the sentence that it is."""
    return test.split("::", 1)[-1].removeprefix("test_").replace("_", " ")


def measurements(runs: Sequence[Run]) -> list[Series]:
    """Each figure of each test."""
    return _series(
        (run, line, name, value)
        for run in runs
        for line in run.tests
        for name, value in line.measured.items()
        if not name.startswith(RESOURCES)
    )


def resources(runs: Sequence[Run]) -> list[Series]:
    """What the services used: of each figure the most that any test of a run saw."""
    found: dict[str, list[Point]] = {}
    for run in runs:
        most: dict[str, float] = {}
        for line in run.tests:
            for name, value in line.measured.items():
                if name.startswith(RESOURCES):
                    most[name] = max(value, most.get(name, value))
        for name, value in most.items():
            found.setdefault(name.removeprefix(RESOURCES), []).append(_point(run, value))
    return [Series("any test, at most", name, tuple(points)) for name, points in found.items()]


def durations(runs: Sequence[Run]) -> list[Series]:
    """The time of each test with its setup and teardown, the slowest first."""
    found = _series(
        (run, line, "seconds", line.whole_seconds) for run in runs for line in run.tests
    )
    return sorted(found, key=lambda one: -one.median)


def _series(values: Iterable[tuple[Run, Line, str, float]]) -> list[Series]:
    found: dict[tuple[str, str], list[Point]] = {}
    for run, line, name, value in values:
        found.setdefault((line.test, name), []).append(_point(run, value))
    return [Series(sentence(test), name, tuple(points)) for (test, name), points in found.items()]


def _point(run: Run, value: float) -> Point:
    return Point(run.run, run.commit or "unknown", value)


def records(runs: Sequence[Run]) -> list[Record]:
    """How each test ended over runs, those that failed most first."""
    reasons: dict[str, str] = {}
    for run in runs:
        for line in run.tests:
            reasons.setdefault(line.test, "")
            reasons[line.test] = line.reason or reasons[line.test]
    found = [
        Record(sentence(test), tuple(run.outcomes.get(test) for run in runs), reason)
        for test, reason in reasons.items()
    ]
    return sorted(found, key=lambda one: -one.failures)
