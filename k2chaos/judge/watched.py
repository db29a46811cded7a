"""
What no reading at the end can tell: how the stages answered while the run lasted.

Everything here is judged by the observer's samples, answer by answer. What was not answered is
unknown and accuses nobody; an answer that called itself degraded said that it may be old, and is
not called stale.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from k2chaos.evidence.finding import Anomaly, Finding
from k2chaos.evidence.records import Window
from k2chaos.evidence.slots import Slots
from k2chaos.judge.audit import EXAMPLES
from k2chaos.judge.series import Booleans, Floats, Samples, Series

DEGRADED: Final = "degraded"
"""The note of an answer that said itself that it may be old."""
PATIENCE_SECONDS: Final = 20.0
"""
How long a service may call itself healthy while its stage is over budget: health checks are seconds
apart, and engines believe only several of them.
"""
FOR_GOOD_SECONDS: Final = 30.0
"""How long a service may call itself unhealthy while all is well until that is for good."""

_SERVES: Final = {"topic": "source", "table": "sink", "api": "api"}
"""Whose health speaks of a stage."""


@dataclass(frozen=True, slots=True)
class Watched:
    """
    What was sampled of one run, and what is needed to judge it.

    Attributes:
        window: Without one nothing is said of single records.
        table: What the table showed at the end; ``None`` where it could not be read.
        freshness_seconds: Budget of every stage.
        serving_seconds: By how much the API may be behind the table.
        containers: By role, the containers (``service-number``) that play it.
        disturbed: By role, from when to when a fault was held on it (seconds since 1970).
        struck: When the first fault struck: what was seen before it is not its doing.
    """

    samples: Samples
    window: Window | None
    table: pa.Table | None
    freshness_seconds: float
    serving_seconds: float
    containers: Mapping[str, Sequence[str]]
    disturbed: Mapping[str, Sequence[tuple[float, float]]]
    struck: float = -np.inf


@dataclass(frozen=True, slots=True)
class _Seen:
    """
    Something wrong, from when to when it was seen (seconds since 1970).

    Attributes:
        wrong_at: From when on it was wrong, after whatever patience it is owed.
    """

    begin: float
    end: float
    facts: Mapping[str, Any]
    wrong_at: float

    @property
    def example(self) -> dict[str, Any]:
        """What a finding shows of it: of an answer, when it was given."""
        is_moment = self.begin == self.end
        return {**self.facts, "seen_at": _moment(self.begin)} if is_moment else {**self.facts}


def watched_findings(watched: Watched) -> Iterator[Finding]:
    """
    Find ``stale``, ``backwards`` and ``torn`` answers, and health that was ``misreported``: of each
    a finding for what was seen before the first fault, and one for what was since.
    """
    yield from _stale(watched)
    yield from _backwards(watched)
    yield from _torn(watched)
    for stage, role in _SERVES.items():
        yield from _falsely_healthy(watched, stage, role)
        yield from _falsely_unhealthy(watched, stage, role)


def _stale(watched: Watched) -> Iterator[Finding]:
    """Answers without a record that the table had shown for longer than the budget."""
    honest = watched.samples.times_noted("api", "attempt_seconds", DEGRADED)
    shown = watched.samples.by_key("table", "newest_id")
    found: list[tuple[float, dict[str, Any]]] = []
    for key, answers in watched.samples.by_key("api", "newest_id").items():
        if key not in shown:
            continue
        was_due = _stood(shown[key], answers.at - watched.serving_seconds)
        is_stale = (answers.values < was_due) & ~np.isin(answers.at, honest)
        found += [
            (
                float(answers.at[row]),
                {"key": key, "sequence": int(answers.values[row]), "table": int(was_due[row])},
            )
            for row in np.flatnonzero(is_stale)
        ]
    yield from _of_answers("stale", watched, found)


def _backwards(watched: Watched) -> Iterator[Finding]:
    """Answers whose newest record of a key is older than that of the answer before."""
    found: list[tuple[float, dict[str, Any]]] = []
    for key, answers in watched.samples.by_key("api", "newest_id").items():
        known = answers.known()
        found += [
            (
                float(known.at[row + 1]),
                {"key": key, "sequence": int(known.values[row + 1]), "was": int(known.values[row])},
            )
            for row in np.flatnonzero(np.diff(known.values) < 0)
        ]
    yield from _of_answers("backwards", watched, found)


def _torn(watched: Watched) -> Iterator[Finding]:
    """
    Answers with a hole where the table has a record. One that the table lacks, too, is lost or
    late, which the reading at the end tells.
    """
    if watched.table is None or watched.window is None:
        return
    slots = Slots.of(watched.window)
    is_there = np.zeros(slots.size, dtype=bool)
    places = slots.places(watched.table)
    is_there[places[places >= 0]] = True
    found: list[tuple[float, dict[str, Any]]] = []
    for key, holes in watched.samples.by_key("api", "missing_id").items():
        for moment, number in zip(holes.at, holes.values, strict=True):
            slot = slots.slot(key, int(number))
            if slot is not None and is_there[slot]:
                found.append((float(moment), {"key": key, "sequence": int(number)}))
    yield from _of_answers("torn", watched, found)


def _falsely_healthy(watched: Watched, stage: str, role: str) -> Iterator[Finding]:
    """
    Health that stayed good for longer than patience, while the role's stage was over budget and the
    stage before was not.

    A stage that could not be looked at is as stale as it was last seen, and time gone by; unless
    the last stage is seen to be fresh: then data did flow through it, and only we were blind.

    Of an API that speaks for itself its own word counts: one that calls itself degraded still
    answers, and the engine calls healthy whatever does.
    """
    ages = watched.samples.series(stage, "freshness_seconds").known()
    earlier = _stage_before(watched, stage)
    said = dict(_healths(watched, role))
    for container, health in ({"api": said["api"]} if "api" in said else said).items():
        good = health.known()
        is_over = _stood(ages, good.at) > watched.freshness_seconds
        if earlier is not None:
            is_over &= ~(_stood(earlier, good.at) > watched.freshness_seconds)
        last = watched.samples.series("api", "freshness_seconds")
        is_over &= ~(_stood(last, good.at) <= watched.freshness_seconds)
        is_over &= ~_inside(good.at, watched.disturbed.get(role, ()))
        is_wrong = is_over & (good.values > 0)
        yield from _too_long(watched, good, is_wrong, PATIENCE_SECONDS, stage, container)


def _falsely_unhealthy(watched: Watched, stage: str, role: str) -> Iterator[Finding]:
    """Health that was bad to the end although the role's stage was inside its budget."""
    ages = watched.samples.series(stage, "freshness_seconds").known()
    for container, health in _healths(watched, role):
        known = health.known()
        is_well = _stood(ages, known.at) <= watched.freshness_seconds
        is_well &= ~_inside(known.at, watched.disturbed.get(role, ()))
        is_bad = is_well & (known.values == 0)
        last_good = np.flatnonzero(~is_bad)
        if last_good.size:
            is_bad[: last_good[-1]] = False
        yield from _too_long(watched, known, is_bad, FOR_GOOD_SECONDS, stage, container)


def _healths(watched: Watched, role: str) -> Iterator[tuple[str, Series]]:
    """What the engine says of the role's containers, and what the API says of itself."""
    by_container = watched.samples.by_key("engine", "healthy")
    for container in watched.containers.get(role, ()):
        if container in by_container:
            yield container, by_container[container]
    if role == "api" and len((word := watched.samples.series("api", "status")).known()):
        yield "api", word


def _stage_before(watched: Watched, stage: str) -> Series | None:
    """How fresh the nearest stage before *stage* was, where anybody looked at one."""
    names = list(_SERVES)
    for name in reversed(names[: names.index(stage)]):
        ages = watched.samples.series(name, "freshness_seconds").known()
        if len(ages):
            return ages
    return None


def _too_long(
    watched: Watched, series: Series, is_wrong: Booleans, bound: float, stage: str, container: str
) -> Iterator[Finding]:
    """Findings where *is_wrong* held without a break for longer than *bound* seconds."""
    edges = np.flatnonzero(np.diff(np.r_[False, is_wrong, False].astype(np.int8)))
    spans = [(series.at[begin], series.at[end - 1]) for begin, end in edges.reshape(-1, 2)]
    said = "healthy" if is_wrong.any() and series.values[is_wrong][0] > 0 else "unhealthy"
    seen = [
        _Seen(
            begin,
            end,
            {"container": container, "said": said, "seconds": round(end - begin, 1)},
            wrong_at=begin + bound,
        )
        for begin, end in spans
        if end - begin > bound
    ]
    yield from _split("misreported", watched, (stage, _SERVES[stage]), seen)


def _stood(series: Series, moments: Floats) -> Floats:
    """The newest number of *series* at each of *moments*; NaN before the first."""
    known = series.known()
    values = np.r_[np.nan, known.values]
    stood: Floats = values[np.searchsorted(known.at, moments, side="right")]
    return stood


def _inside(moments: Floats, spans: Sequence[tuple[float, float]]) -> Booleans:
    inside = np.zeros(moments.size, dtype=bool)
    for begin, end in spans:
        inside |= (moments >= begin) & (moments <= end)
    return inside


def _of_answers(
    anomaly: Anomaly, watched: Watched, found: Sequence[tuple[float, dict[str, Any]]]
) -> Iterator[Finding]:
    """The answers before the first fault and those since, each the earliest first."""
    ordered = sorted(found, key=lambda one: (one[0], one[1]["key"], one[1]["sequence"]))
    seen = [_Seen(moment, moment, facts, wrong_at=moment) for moment, facts in ordered]
    yield from _split(anomaly, watched, ("api", "serving"), seen)


def _split(
    anomaly: Anomaly, watched: Watched, place: tuple[str, str], seen: Sequence[_Seen]
) -> Iterator[Finding]:
    """What was wrong before the first fault, and what was since; *seen* from the earliest on."""
    stage, at = place
    for before_fault in (True, False):
        part = [one for one in seen if (one.wrong_at < watched.struck) == before_fault]
        if part:
            examples = tuple(one.example for one in part[:EXAMPLES])
            window = (_moment(part[0].begin), _moment(part[-1].end))
            yield Finding(anomaly, stage, at, len(part), examples, window, before_fault)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
