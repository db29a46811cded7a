"""
The stages of one pipeline: a client for each, and what is measured with them.

The exchange is always asked before the stage that is held against it, so that a record emitted
between the two looks can make no stage look worse than it is. Durations come from the exchange's
clock where there is one: event times are its own.
"""

import contextlib
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

from k2chaos.clock import Clock, SystemClock
from k2chaos.errors import Interrupted, StageUnavailable, Unsupported
from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.freshness import (
    Sighting,
    active_keys,
    freshness_seconds,
    unaided_freshness_seconds,
)
from k2chaos.evidence.records import Window
from k2chaos.pipeline import STAGES, Pipeline
from k2chaos.system.api import ApiClient
from k2chaos.system.exchange import ExchangeClient
from k2chaos.system.table import TableClient
from k2chaos.system.topic import TopicClient

_POLL_SECONDS: Final = 0.2
_ENDED: Final = "the run was told to end while {} at the {}"


class _Shows(Protocol):
    """A stage at which records become visible."""

    def newest(self, keys: Collection[str] = ()) -> dict[str, Sighting]:
        """The newest record per key."""


@dataclass(frozen=True, slots=True)
class Stages:
    """
    The clients of one pipeline; ``None`` where it has no such stage.

    Every method raises `StageUnavailable` when the stage (or the exchange) refuses, hangs or
    errs, `StageBlind` when we could not look, `Unsupported` when the pipeline has no such stage.
    """

    pipeline: Pipeline
    exchange: ExchangeClient | None = None
    topic: TopicClient | None = None
    table: TableClient | None = None
    api: ApiClient | None = None
    clock: Clock = field(default_factory=SystemClock)

    def close(self) -> None:
        """Disconnect from everything."""
        for client in self._clients():
            client.close()

    def check_credentials(self) -> None:
        """
        Ask every stage something small; one that is down is not this check's business.

        Raises:
            StageBlind: A stage refused our credentials, or the pipeline file describes it wrongly.
        """
        looks = (
            self.exchange and self.exchange.last_ids,
            self.topic and self.topic.end_offsets,
            self.table and self.table.snapshot_id,
            self.api and self.api.check_key,
        )
        for look in looks:
            with contextlib.suppress(StageUnavailable):
                if look:
                    look()

    def newest(self, stage: str, keys: Collection[str] = ()) -> dict[str, Sighting]:
        """The newest record of each key that *stage* shows; *keys* are looked for harder."""
        if stage == "exchange":
            if self.exchange is None:
                raise self.unsupported(stage)
            ledger = self.exchange.ledger().keys.items()
            return {
                key: Sighting(one.last_id, one.last_time) for key, one in ledger if one.last_time
            }
        return self._shows(stage).newest(keys)

    def newest_emitted(self, keys: Collection[str] = ()) -> dict[str, int]:
        """
        What ought to arrive everywhere: by key the last id that the exchange emitted (0 where it
        never did), or without exchange the newest that the first stage shows, of *keys* in any
        case.
        """
        if self.exchange is not None:
            return self.exchange.last_ids()
        newest = self._shows(self.pipeline.stages[0]).newest(keys)
        return {key: sighting.sequence for key, sighting in newest.items()}

    def window_since(self, baseline: Baseline) -> Window:
        """
        The records between *baseline* and now.

        Without exchange a key that the baseline lacks is left out: where its records begin is not
        known. One that it has is asked for by name: an API shows the newest records only.
        """
        until = self.newest_emitted(baseline.last_ids)
        if self.exchange is None:
            until = {key: last for key, last in until.items() if key in baseline.last_ids}
        return Window(after=baseline.last_ids, until=until)

    def freshness_seconds(self, stage: str) -> float:
        """How stale *stage* is; see `k2chaos.evidence.freshness` for the definition."""
        if self.exchange is None:
            return self._unaided_freshness(stage)
        before = self.clock.monotonic()
        ledger = self.exchange.ledger()
        emitted = {key: one for key, one in ledger.keys.items() if one.last_id}
        if stage == "exchange":
            return 0.0
        visible = self._shows(stage).newest(emitted)
        # Counted from before the ledger was asked: a slow answer makes no stage look fresher.
        now = ledger.now + timedelta(seconds=self.clock.monotonic() - before)
        return freshness_seconds(visible, emitted, now)

    def throughput_records_per_second(
        self,
        stage: str,
        seconds: float = 5.0,
        interrupted: threading.Event | None = None,
    ) -> float:
        """
        How many records per second became visible at *stage* over the next *seconds*.

        Counted by sequences, so what comes twice counts once, and what is skipped counts.

        Raises:
            Interrupted: The run was told to end meanwhile.
        """
        keys = self._expected_keys()
        first = self.newest(stage, keys)
        before = self.clock.monotonic()
        if self.clock.wait(seconds, interrupted):
            raise Interrupted(_ENDED.format("measuring the throughput", stage))
        last = self.newest(stage, keys)
        elapsed = self.clock.monotonic() - before
        return sum(self._advances(first, last)) / elapsed

    def wait_until_drained(
        self,
        stage: str,
        until: Mapping[str, int],
        deadline_seconds: float,
        interrupted: threading.Event | None = None,
    ) -> bool:
        """
        Wait until *stage* shows, for every key, a record at or beyond *until*.

        Returns:
            Whether it did within the deadline.

        Raises:
            StageUnavailable: At the deadline the stage could not be read.
            Interrupted: The run was told to end meanwhile.
        """
        deadline = self.clock.monotonic() + deadline_seconds
        while True:
            trouble: StageUnavailable | None = None
            try:
                if self.is_drained(stage, until):
                    return True
            except StageUnavailable as error:
                trouble = error
            if self.clock.monotonic() >= deadline:
                break
            if self.clock.wait(_POLL_SECONDS, interrupted):
                raise Interrupted(_ENDED.format("waiting until all is drained", stage))
        if trouble is not None:
            raise trouble
        return False

    def is_drained(self, stage: str, until: Mapping[str, int]) -> bool:
        """Whether *stage* shows now, for every key, a record at or beyond *until*."""
        wanted = {key: last for key, last in until.items() if last > 0}
        newest = self.newest(stage, wanted)
        return all(key in newest and newest[key].sequence >= wanted[key] for key in wanted)

    def api_latency_seconds(self) -> float:
        """How long one request for the newest records takes."""
        if self.api is None:
            raise self.unsupported(STAGES[-1])
        return self.api.latency()

    def _unaided_freshness(self, stage: str) -> float:
        shows = self._shows(stage)
        first = self.pipeline.stages[0]
        try:
            newest = self._shows(first).newest()
        except StageUnavailable:
            if stage == first:
                raise
            newest = shows.newest()
        active = active_keys(newest)
        visible = newest if stage == first else shows.newest(active)
        freshness = unaided_freshness_seconds(visible, active, self.clock.now())
        if freshness is None:
            message = f"{stage}: no record is visible in {first}; is anything flowing?"
            raise StageUnavailable(message, "empty")
        return freshness

    def _advances(
        self, first: Mapping[str, Sighting], last: Mapping[str, Sighting]
    ) -> Iterable[int]:
        """By how many each key advanced; a new one began at 1 where an exchange says so."""
        for key, sighting in last.items():
            if key in first:
                yield max(0, sighting.sequence - first[key].sequence)
            elif self.exchange is not None:
                yield sighting.sequence

    def _expected_keys(self) -> Collection[str]:
        if self.exchange is None:
            return ()
        return [key for key, last in self.exchange.last_ids().items() if last]

    def _clients(self) -> Iterable[ExchangeClient | TopicClient | TableClient | ApiClient]:
        clients = (self.exchange, self.topic, self.table, self.api)
        return (client for client in clients if client is not None)

    def _shows(self, stage: str) -> _Shows:
        shows: dict[str, _Shows | None]
        shows = {"topic": self.topic, "table": self.table, "api": self.api}
        client = shows.get(stage)
        if client is None:
            raise self.unsupported(stage)
        return client

    def unsupported(self, stage: str) -> Unsupported:
        """The error that says that the pipeline has no such *stage*."""
        has = ", ".join(self.pipeline.stages)
        return Unsupported(f"pipeline {self.pipeline.name} has no stage {stage}; it has {has}")


def open_stages(pipeline: Pipeline, clock: Clock | None = None) -> Stages:
    """A client for each stage of *pipeline*; none connects before it is asked something."""
    clock = clock or SystemClock()
    record = pipeline.record
    return Stages(
        pipeline,
        exchange=ExchangeClient(pipeline.exchange.control) if pipeline.exchange else None,
        topic=TopicClient(pipeline.topic, record, clock=clock) if pipeline.topic else None,
        table=TableClient(pipeline.table, record) if pipeline.table else None,
        api=ApiClient(pipeline.api, record, clock=clock) if pipeline.api else None,
        clock=clock,
    )
