"""Where a window of records begins, and what each stage shows of it."""

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from k2chaos.clock import Clock
from k2chaos.errors import StageBlind, StageUnavailable
from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.records import Window
from k2chaos.evidence.slots import within
from k2chaos.pipeline import STAGES
from k2chaos.system.patience import patiently
from k2chaos.system.stages import Stages
from k2chaos.system.topic import TopicRead

MARGIN: Final = timedelta(seconds=60)
"""By how much the event time of a run's first record may lie before its start: clocks differ."""


BASELINE_PATIENCE_SECONDS: Final = 10.0
"""How long a stage that answers badly (a broker that elects a leader) is asked again."""


def take_baseline(
    stages: Stages, clock: Clock, interrupt: threading.Event | None = None
) -> Baseline:
    """
    What stands now, asked patiently until *interrupt* is set.

    Raises:
        StageUnavailable: A stage did not answer for `BASELINE_PATIENCE_SECONDS`.
        StageBlind: We could not look.
    """
    return patiently(
        lambda: _baseline_now(stages, clock),
        clock,
        BASELINE_PATIENCE_SECONDS,
        (StageUnavailable,),
        interrupt,
    )


def _baseline_now(stages: Stages, clock: Clock) -> Baseline:
    """
    The topic's offsets before ``last_ids``: every record emitted after these then lies behind them.
    The letters' before the topic's: of every value behind those, the letter does, too.
    """
    started = clock.now()
    topic = stages.topic
    letters = topic.letter_offsets() if topic is not None else {}
    offsets = topic.end_offsets() if topic is not None else None
    return Baseline(started, stages.newest_emitted(), offsets, letters)


def window_between(
    stages: Stages, since: datetime, until: datetime | None
) -> tuple[Baseline, Window]:
    """
    The records with event times from *since* to *until* (now, where it is ``None``), and where each
    stage is to be read from.

    Without exchange they are those that the first stage shows: its edges are not known, and a
    record that it lacks there is not missed.
    """
    topic = stages.topic
    offsets = topic.offsets_at(_ms(since - MARGIN)) if topic is not None else None
    # A margin earlier: the letter of every value that is read has to be among those that are.
    letters = topic.letter_offsets_at(_ms(since - 2 * MARGIN)) if topic is not None else {}
    baseline = Baseline(since, {}, offsets, letters)
    if stages.exchange is not None:
        before = stages.exchange.ledger(since).last_ids
        after = stages.exchange.ledger(until).last_ids
        return replace(baseline, last_ids=before), Window(before, after)
    rows = _shown_first(stages, baseline, until or stages.clock.now())
    keys = rows.group_by("key", use_threads=False)
    edges = keys.aggregate([("sequence", "min"), ("sequence", "max")]).to_pylist()
    before = {one["key"]: one["sequence_min"] - 1 for one in edges}
    window = Window(before, {one["key"]: one["sequence_max"] for one in edges})
    return replace(baseline, last_ids=before), window


def _shown_first(stages: Stages, baseline: Baseline, until: datetime) -> pa.Table:
    """What the first stage shows of that time."""
    since = baseline.started
    if stages.topic is not None:
        rows = stages.topic.read(baseline.topic_offsets or {}).records
    elif stages.table is not None:
        rows = stages.table.read(since)
    else:
        api = stages.api
        if api is None:
            raise stages.unsupported(STAGES[-1])
        rows = api.read(sorted(api.newest()), since, until)
    times = rows["event_time"]
    edges = (pa.scalar(moment, times.type) for moment in (since, until))
    begin, end = edges
    return rows.filter(pc.and_(pc.greater_equal(times, begin), pc.less_equal(times, end)))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def read_window(stages: Stages, stage: str, window: Window, baseline: Baseline) -> pa.Table:
    """
    Every sighting of the window's records at *stage* (schema `RECORDS`), copies included.

    Records before and beyond the window are left out; those never emitted are not. Of the exchange,
    what it still remembers of the window.
    """
    since = baseline.started - MARGIN
    if stage == "exchange" and stages.exchange is not None:
        return stages.exchange.read(window, stages.pipeline.record.content)
    if stage == "topic":
        return read_topic(stages, window, baseline).records
    if stage == "table" and stages.table is not None:
        return _ours(stages, window, stages.table.read(since))
    if stage == "api" and stages.api is not None:
        until = stages.clock.now() + MARGIN
        return _ours(stages, window, stages.api.read(sorted(window.until), since, until))
    raise stages.unsupported(stage)


def read_topic(stages: Stages, window: Window, baseline: Baseline) -> TopicRead:
    """The topic's share of `read_window`, and the values since the baseline that are no record."""
    if (topic := stages.topic) is None:
        raise stages.unsupported(STAGES[1])
    if baseline.topic_offsets is None:
        message = "topic: the run's baseline has no offsets of it; begin a new run"
        raise StageBlind(message, "no baseline")
    read = topic.read(baseline.topic_offsets)
    return TopicRead(_ours(stages, window, read.records), read.malformed)


def _ours(stages: Stages, window: Window, records: pa.Table) -> pa.Table:
    if stages.exchange is None:
        # Keys that the window lacks are not known to be wrong, only not known.
        known = pa.array(sorted(window.until), pa.string())
        records = records.filter(pc.is_in(records["key"], value_set=known))
    return within(window, records)
