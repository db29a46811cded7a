"""
Reading what each stage shows of a window of records, for the probes and for the audit.

A stage is read once its tail has drained or the deadline has passed, which is how stale the
pipeline file lets it be. Where records are missing then that the stage before has, it is looked at
again until the deadline, and for as long again after it: what comes late is not lost. A stage that
refuses leaves an event: silence is never taken for absence.
"""

import logging
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from k2chaos.clock import Clock
from k2chaos.errors import Interrupted, StageBlind, StageUnavailable
from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.folder import AT_DEADLINE, RunFolder
from k2chaos.evidence.records import Window
from k2chaos.evidence.slots import Booleans, Slots
from k2chaos.pipeline import STAGES
from k2chaos.system.run import Run
from k2chaos.system.stages import Stages
from k2chaos.system.topic import TopicClient
from k2chaos.system.windows import read_topic, read_window

logger = logging.getLogger("chaostoolkit")

_LOOK_AGAIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Gathering:
    """
    Puts a window and the records of every stage into a run folder.

    Attributes:
        interrupted: Ends it, where it is set.
    """

    stages: Stages
    baseline: Baseline
    clock: Clock
    folder: RunFolder
    interrupted: threading.Event = field(default_factory=threading.Event)

    @property
    def deadline_seconds(self) -> float:
        """How long a stage may take to show all that was emitted: the freshness budget."""
        return self.stages.pipeline.budgets.freshness_seconds

    def gather(self, window: Window | None = None) -> Iterable[str]:
        """
        Read all there is, stage by stage, and yield each stage's name before it is read.

        Args:
            window: What is wanted; by default everything since the baseline.

        Raises:
            Interrupted: The run was told to end meanwhile.
        """
        stages = self.stages.pipeline.stages
        try:
            window = window or self.stages.window_since(self.baseline)
        except (StageUnavailable, StageBlind) as error:
            note_unread(self.folder, stages[0], error)
            return
        self.folder.write_json("window.json", asdict(window))
        slots = Slots.of(window)
        expected = np.ones(slots.size, dtype=bool)
        for stage in stages:
            yield stage
            try:
                if stage == "exchange":
                    self._gather_exchange(window)
                else:
                    expected = _shown(slots, self._gather(stage, window, expected)) & expected
            except (StageUnavailable, StageBlind) as error:
                note_unread(self.folder, stage, error)
        if self.stages.topic is not None:
            self._gather_beside(self.stages.topic)

    def _gather_exchange(self, window: Window) -> None:
        """What was emitted: its content; what is expected is known without."""
        if self.stages.pipeline.record.content:
            rows = read_window(self.stages, "exchange", window, self.baseline)
            self.folder.write_records("exchange", rows)

    def _gather(self, stage: str, window: Window, expected: Booleans) -> pa.Table:
        """Read one stage, as often as it takes."""
        slots, until = Slots.of(window), self.clock.monotonic() + self.deadline_seconds
        self.stages.wait_until_drained(stage, window.until, self.deadline_seconds, self.interrupted)

        def read_by(until: float) -> tuple[pa.Table, bool]:
            while True:
                rows = self._read(stage, window)
                is_whole = not (expected & ~_shown(slots, rows)).any()
                if is_whole or self.clock.monotonic() >= until:
                    return rows, is_whole
                left = until - self.clock.monotonic()
                if self.clock.wait(min(_LOOK_AGAIN_SECONDS, max(0.0, left)), self.interrupted):
                    message = f"the run was told to end while records of the {stage} were read"
                    raise Interrupted(message)

        rows, is_whole = read_by(until)
        if not is_whole:
            self.folder.write_records(f"{stage}{AT_DEADLINE}", rows)
            logger.warning("%s: records are missing at the deadline; looking once more", stage)
            rows, _ = read_by(self.clock.monotonic() + self.deadline_seconds)
        self.folder.write_records(stage, rows)
        return rows

    def _read(self, stage: str, window: Window) -> pa.Table:
        """The records; of the topic, what is none is kept at once."""
        if stage != "topic":
            return read_window(self.stages, stage, window, self.baseline)
        read = read_topic(self.stages, window, self.baseline)
        self.folder.write_records("malformed", read.malformed)
        return read.records

    def _gather_beside(self, topic: TopicClient) -> None:
        """Dead letters, and how far the sink's group has come; patiently, like the stages."""
        until = self.clock.monotonic() + self.deadline_seconds
        while True:
            try:
                letters = topic.read_letters(self.baseline.letter_offsets)
                self.folder.write_records("letters", letters)
                self.folder.write_json("committed.json", topic.committed())
            except (StageUnavailable, StageBlind) as error:
                is_over = isinstance(error, StageBlind) or self.clock.monotonic() >= until
                if is_over or self.clock.wait(_LOOK_AGAIN_SECONDS, self.interrupted):
                    note_unread(self.folder, STAGES[1], error)
                    return
            else:
                return


def note_unread(folder: RunFolder, stage: str, error: StageUnavailable | StageBlind) -> None:
    """Leave evidence that *stage* could not be read, and whose fault that is."""
    event = "stage-unavailable" if isinstance(error, StageUnavailable) else "not-audited"
    folder.append_event(event, stage=stage, reason=str(error))
    logger.warning("%s: %s", stage, error)


def _shown(slots: Slots, rows: pa.Table) -> Booleans:
    """Which slots *rows* show."""
    shown = np.zeros(slots.size, dtype=bool)
    places = slots.places(rows)
    shown[places[places >= 0]] = True
    return shown


def read_until_now(run: Run, stage: str, deadline_seconds: float) -> tuple[Window, pa.Table]:
    """
    The window from the run's baseline to this moment, and what *stage* shows of it.

    Raises:
        StageUnavailable: The stage, or the exchange, refused, hung or erred at the deadline.
        StageBlind: We could not look.
    """
    window = run.stages.window_since(run.baseline)
    run.stages.wait_until_drained(stage, window.until, deadline_seconds, run.interrupt.requested)
    return window, read_window(run.stages, stage, window, run.baseline)


def gather_records(run: Run) -> None:
    """Put the window and the records of every stage into the run folder."""
    gathering = Gathering(run.stages, run.baseline, run.clock, run.folder, run.interrupt.requested)
    for stage in gathering.gather():
        logger.info("reading the records of the %s", stage)
