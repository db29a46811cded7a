"""Where a window of records begins, and what each stage shows of it."""

from datetime import timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from k2chaos.clock import Clock
from k2chaos.errors import StageBlind
from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.records import Window
from k2chaos.evidence.slots import within
from k2chaos.pipeline import STAGES
from k2chaos.system.stages import Stages
from k2chaos.system.topic import TopicRead

MARGIN: Final = timedelta(seconds=60)
"""By how much the event time of a run's first record may lie before its start: clocks differ."""


def take_baseline(stages: Stages, clock: Clock) -> Baseline:
    """
    What stands now. The topic's offsets come first: every record emitted after ``last_ids`` then
    lies behind them.
    """
    started = clock.now()
    topic = stages.topic
    offsets = topic.end_offsets() if topic is not None else None
    letters = topic.letter_offsets() if topic is not None else {}
    return Baseline(started, stages.newest_emitted(), offsets, letters)


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
