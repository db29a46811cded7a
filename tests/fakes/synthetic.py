"""
A small deterministic pipeline whose every record's way is known: the ground truth of recovery.

Exchange -> source -> topic -> sink -> table -> API. Each part holds records back while it is down
and lets them go when it is up again; the sink commits in batches, the API shows what it last looked
up. From the moments at which every record became visible everything else follows exactly, at any
time, between samples, too; an observer then looks at it on a grid.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2chaos.evidence.samples import SAMPLES

Floats = npt.NDArray[np.float64]
Span = tuple[float, float]

START = datetime(2026, 1, 1, tzinfo=UTC)
STAGES = ("exchange", "topic", "table", "api")

BREAKS = {
    "source": ("source",),
    "sink": ("sink",),
    "api": ("api",),
    "broker": ("source", "sink", "broker"),
    "path to the api": ("api",),
    "nothing": (),
}
"""Fault -> the parts that hold records back."""
REFUSES = {"api": "api", "path to the api": "api", "broker": "topic"}
"""Fault -> the stage that does not answer."""
UNSEEN = ("nothing", "path to the api")
"""Of these the engine sees nothing."""


@dataclass(frozen=True)
class Trouble:
    """
    A scripted fault.

    Attributes:
        lasts_on: How long after its end what it broke needs to be up again.
        unhealthy: How much longer the engine calls the service unhealthy.
    """

    kind: str
    begin: float
    end: float
    lasts_on: float = 0.0
    unhealthy: float = 0.0

    @property
    def down(self) -> Span:
        """From when to when records are held back, or requests refused."""
        return self.begin, self.end + self.lasts_on


@dataclass(frozen=True)
class Script:
    """One scripted run; times in seconds since `START`."""

    troubles: tuple[Trouble, ...]
    seconds: float = 90.0
    rates: tuple[float, ...] = (20.0, 5.0)
    commit_seconds: float = 2.0
    commit_takes: float = 0.3
    batch: int = 100_000
    refresh_seconds: float = 0.2
    budget: float = 6.0
    intervals: tuple[float, ...] = (0.2, 0.2, 0.5, 0.2)
    offsets: tuple[float, ...] = (0.0, 0.05, 0.1, 0.15)
    engine: Span = (0.5, 0.0)
    seed: int = 0


def scripted(seed: int) -> Script:
    """A run drawn by *seed*: one fault or two, at any rates of sampling."""
    draw = random.Random(seed)
    kinds = sorted(BREAKS)
    first = _trouble(draw, draw.choice(kinds), draw.uniform(15.0, 25.0))
    troubles = [first]
    if draw.random() < 0.3:
        troubles.append(_trouble(draw, draw.choice(kinds), first.end + draw.uniform(15.0, 40.0)))
    intervals = tuple(draw.choice((0.05, 0.1, 0.2, 0.5)) for _ in STAGES)
    engine = draw.choice((0.1, 0.2, 0.5))
    return Script(
        troubles=tuple(troubles),
        seconds=troubles[-1].end + draw.uniform(30.0, 50.0),
        rates=tuple(draw.uniform(2.0, 30.0) for _ in range(draw.randint(1, 4))),
        commit_seconds=draw.uniform(0.5, 2.5),
        commit_takes=draw.uniform(0.05, 0.5),
        batch=draw.choice((200, 100_000)),
        refresh_seconds=draw.uniform(0.05, 0.3),
        budget=draw.uniform(5.0, 9.0),
        intervals=intervals,
        offsets=tuple(draw.uniform(0.0, interval) for interval in intervals),
        engine=(engine, draw.uniform(0.0, engine)),
        seed=seed,
    )


def _trouble(draw: random.Random, kind: str, begin: float) -> Trouble:
    never = draw.random() < 0.1
    return Trouble(
        kind,
        begin,
        begin + draw.uniform(4.0, 20.0),
        lasts_on=1e6 if never and kind != "nothing" else draw.uniform(0.0, 4.0),
        unhealthy=draw.uniform(0.0, 5.0),
    )


@dataclass(frozen=True, eq=False)
class Synthetic:
    """The pipeline of one script."""

    script: Script

    @cached_property
    def emitted(self) -> tuple[Floats, npt.NDArray[np.int64]]:
        """When each record was emitted, and of which key, in the order of time."""
        draw = random.Random(self.script.seed)
        rows = []
        for key, rate in enumerate(self.script.rates):
            steps = np.arange(0.0, self.script.seconds, 1.0 / rate)
            rows += [(at + draw.uniform(0.0, 0.5 / rate), key) for at in steps]
        rows.sort()
        return np.array([at for at, _ in rows]), np.array([key for _, key in rows])

    @cached_property
    def visible(self) -> dict[str, Floats]:
        """When each record became visible at each stage."""
        at, _ = self.emitted
        topic = self._through(at + 0.03, "source", most_per_second=2_000.0)
        topic = self._held(topic, "broker")
        table = self._committed(topic)
        step = self.script.refresh_seconds
        api = self._held(np.ceil(table / step) * step, "api")
        return {"exchange": at, "topic": topic, "table": table, "api": api}

    def _downs(self, part: str) -> list[Span]:
        return [one.down for one in self.script.troubles if part in BREAKS[one.kind]]

    def _held(self, ready: Floats, part: str) -> Floats:
        """What becomes ready while *part* is down is there when it is up again."""
        for begin, end in self._downs(part):
            ready = np.where((ready >= begin) & (ready < end), end, ready)
        return ready

    def _through(self, ready: Floats, part: str, most_per_second: float) -> Floats:
        """One after the other, no faster than *part* can."""
        ready = self._held(ready, part)
        done, free = np.empty_like(ready), 0.0
        for row, moment in enumerate(ready):
            done[row] = max(moment, free)
            free = done[row] + 1.0 / most_per_second
        return done

    def _committed(self, topic: Floats) -> Floats:
        """In batches: at each commit what is in the topic, as much as a batch holds."""
        draw = random.Random(self.script.seed + 1)
        table = np.full_like(topic, np.inf)
        row, tick = 0, 0.0
        while row < topic.size and tick < self.script.seconds:
            tick += self.script.commit_seconds * draw.uniform(0.9, 1.1)
            for begin, end in self._downs("sink"):
                if begin - self.script.commit_takes <= tick < end:
                    tick = end
            until = min(int(np.searchsorted(topic, tick, side="right")), row + self.script.batch)
            table[row:until] = tick + self.script.commit_takes
            row = until
        return table

    def freshness(self, stage: str, times: Floats) -> Floats:
        """How stale *stage* is at *times*: 0 for a key all of which is visible, else by it."""
        emitted, keys = self.emitted
        worst = np.zeros_like(times)
        for key in range(len(self.script.rates)):
            mine = keys == key
            sent, seen = emitted[mine], self.visible[stage][mine]
            shown = np.searchsorted(seen, times, side="right")
            is_whole = shown >= np.searchsorted(sent, times, side="right")
            newest = sent[np.maximum(shown - 1, 0)]
            worst = np.maximum(worst, np.where(is_whole, 0.0, times - newest))
        return worst

    def breakpoints(self, stage: str, begin: float, end: float) -> Floats:
        """Between two of these, freshness only rises, a second a second, or is 0."""
        moments = np.concatenate([self.emitted[0], self.visible[stage], [begin, end]])
        return np.unique(moments[(moments >= begin) & (moments <= end)])

    def refusals(self, stage: str) -> list[Span]:
        """When *stage* does not answer."""
        return [one.down for one in self.script.troubles if REFUSES.get(one.kind) == stage]

    def impaired(self) -> list[Span]:
        """When the engine calls a service stopped, or unhealthy."""
        return [
            (one.begin, one.down[1] + one.unhealthy)
            for one in self.script.troubles
            if one.kind not in UNSEEN
        ]

    def samples(self) -> pa.Table:
        """What an observer writes who looks on the script's grid."""
        grids = zip(STAGES, self.script.intervals, self.script.offsets, strict=True)
        parts = [
            part
            for stage, interval, offset in grids
            for part in self._looks(stage, np.arange(offset, self.script.seconds, interval))
        ]
        interval, offset = self.script.engine
        times = np.arange(offset, self.script.seconds, interval)
        is_impaired = inside(times, self.impaired()).astype(np.float64)
        parts.append(column("engine", "impaired_services", times, is_impaired))
        return pa.concat_tables(parts).sort_by("at")

    def _looks(self, stage: str, times: Floats) -> Iterable[pa.Table]:
        yield column(stage, "freshness_seconds", times, self.freshness(stage, times))
        is_refused = inside(times, self.refusals(stage))
        yield column(stage, "attempt_seconds", times, np.where(is_refused, np.nan, 0.004))
        emitted_keys = self.emitted[1]
        for key in range(len(self.script.rates)):
            seen = self.visible[stage][emitted_keys == key]
            newest = np.searchsorted(seen, times, side="right").astype(np.float64)
            is_seen = ~is_refused & (newest > 0)
            yield column(stage, "newest_id", times[is_seen], newest[is_seen], f"KEY{key}")


def column(
    stage: str, quantity: str, times: Floats, values: Floats, key: str | None = None
) -> pa.Table:
    """Samples of one quantity; NaN is no number."""
    rows = times.size
    at = pa.array(np.round(times * 1e6).astype(np.int64) + round(START.timestamp() * 1e6))
    columns = {
        "at": at.cast(SAMPLES.field("at").type),
        "stage": [stage] * rows,
        "quantity": [quantity] * rows,
        "key": pa.array([key] * rows, pa.string()),
        "value": pa.array(values, from_pandas=True),
        "note": pa.nulls(rows, pa.string()),
    }
    return pa.table(columns, schema=SAMPLES)


def inside(times: Floats, spans: Sequence[Span]) -> npt.NDArray[np.bool_]:
    """Which of *times* lie in one of *spans*."""
    found = np.zeros(times.shape, dtype=np.bool_)
    for begin, end in spans:
        found |= (times >= begin) & (times < end)
    return found


def moment(seconds: float) -> datetime:
    """A time of the script as a time of the wall clock."""
    return START + timedelta(microseconds=round(seconds * 1e6))


def event_of(trouble: Trouble, number: int = 1) -> dict[str, object]:
    """The event that a run keeps of *trouble*."""
    begin, end = moment(trouble.begin).isoformat(), moment(trouble.end).isoformat()
    return {
        "event": "fault",
        "at": end,
        "fault_id": f"{trouble.kind}-{number}",
        "kind": trouble.kind,
        "sent_at": begin,
        "began_at": begin,
        "injected_at": begin,
        "ended_at": end,
        "healed_at": end,
    }
