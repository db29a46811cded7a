"""
The sink as a whole: reads, collects, hands over, and keeps both sides honest at a rebalance.

The rule at a rebalance: no batch may be under way when the offsets are read from the table. So
the collected records are dropped (they are read again), the batch in hand is waited for however
long it takes, and only then the table is asked where to go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Final

from consumer_crypto import metrics
from consumer_crypto.batch import Buffer, Record, next_offsets
from consumer_crypto.errors import AbandonedError, FatalError, StrandedError
from consumer_crypto.health import Vitals
from consumer_crypto.settings import Settings
from consumer_crypto.source import Positions, Source
from consumer_crypto.table import TradesTable
from consumer_crypto.trouble import explain
from consumer_crypto.writer import Writer

_log = logging.getLogger(__name__)

_READ_SECONDS: Final = 0.1
_READ_RECORDS: Final = 1000
# Enough for what is in hand and in the buffer if a commit takes its usual 0.3 to 1 s, or if one
# try hangs (17 s) and the next succeeds. The last line of defence in `app.py` comes later, and
# the lab kills after 30 s.
FLUSH_SECONDS: Final = 20.0
_RETRY_SECONDS: Final = 1.0
_LAG_SECONDS: Final = 2.0
# A join takes 0.5 to 3 s, up to 9 s with a stranger in the group. After a broker's pause librdkafka
# was seen not to reach the group for two minutes; a new process had its partitions after 3 s.
_STRANDED_SECONDS: Final = 10.0
_ASK_SECONDS: Final = 2.0


class Sink:
    """Runs until told to stop or until something fatal."""

    def __init__(
        self, settings: Settings, table: TradesTable, writer: Writer, vitals: Vitals
    ) -> None:
        """Put the parts together; `run` starts them."""
        self._table = table
        self._writer = writer
        self._vitals = vitals
        self._buffer = Buffer(settings.batch_seconds, settings.batch_records)
        self._source = Source(settings, self._on_assigned, self._on_revoked)
        self._stop = threading.Event()
        self._paused = False
        self._published: Positions = {}
        self._lag_due = 0.0
        self._bugs = settings.bugs
        self._stranded_since: float | None = None
        self._ask_due = 0.0

    def stop(self) -> None:
        """Ask `run` to end soon. Safe to call from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """
        Do the work.

        Raises:
            FatalError: This process must not go on.
        """
        self._vitals.doing = "waiting for the table"
        try:
            # Before joining the group: a sink that cannot write must not hold partitions.
            self._resume_table()
            self._writer.start()
            self._vitals.doing = "joining the group"
            self._source.subscribe()
            while not self._stop.is_set():
                self._turn()
        except AbandonedError:
            _log.info("stopped while waiting for the table")
        self._finish()

    def _turn(self) -> None:
        records = self._source.read(_READ_RECORDS, _READ_SECONDS)
        now = time.monotonic()
        self._vitals.polled_at = now
        self._vitals.broker_heard_at = self._source.broker_heard_at
        if self._writer.failure is not None:
            raise self._writer.failure
        if records:
            self._take(records, now)
        if self._buffer.is_due(now) and self._writer.is_idle():
            self._writer.submit(self._buffer.take(now))
        self._balance()
        self._tell(now)
        self._check_stranded(now)

    def _take(self, records: Sequence[Record], now: float) -> None:
        self._buffer.add(records, now)
        if "sink-offsets-first" in self._bugs:
            self._source.commit(next_offsets(records))

    def _balance(self) -> None:
        """Stop fetching while a full batch waits for the writer."""
        if self._buffer.is_full() != self._paused:
            self._paused = not self._paused
            (self._source.pause if self._paused else self._source.resume)()

    def _tell(self, now: float) -> None:
        self._vitals.buffered_since = self._buffer.waiting_since()
        positions = self._writer.positions()
        if positions is not self._published:
            self._published = positions
            self._publish(positions)
        if now >= self._lag_due:
            self._lag_due = now + _LAG_SECONDS
            metrics.BUFFERED.set(len(self._buffer))
            for partition, lag in self._source.lag(positions).items():
                metrics.LAG.labels(str(partition)).set(lag)

    def _check_stranded(self, now: float) -> None:
        if self._vitals.partitions or "sink-dynamic-member" in self._bugs:
            self._stranded_since = None
            return
        if now < self._ask_due:
            return
        self._ask_due = now + _ASK_SECONDS
        if not self._source.answers():
            self._stranded_since = None
        elif self._stranded_since is None:
            self._stranded_since = now
        elif (age := now - self._stranded_since) > _STRANDED_SECONDS:
            message = f"Kafka answers, but has given us no partition for {age:.0f} s"
            raise StrandedError(message)

    def _publish(self, positions: Positions) -> None:
        # With the bug Kafka was told already, and more.
        if "sink-offsets-first" not in self._bugs:
            self._source.publish(positions)

    def _on_revoked(self) -> None:
        _log.info("partitions revoked; dropping %d records read", len(self._buffer))
        self._buffer.clear()
        self._vitals.partitions = 0
        self._vitals.unassigned_since = time.monotonic()
        metrics.LAG.clear()

    def _on_assigned(self, owned: frozenset[int]) -> Positions:
        self._buffer.clear()
        self._paused = False
        self._vitals.doing = "waiting for the batch in hand"
        while not self._writer.await_idle(_RETRY_SECONDS):
            if self._stop.is_set():
                raise AbandonedError
        if self._writer.failure is not None:
            raise self._writer.failure
        self._vitals.doing = "reading the offsets from the table"
        positions = self._resume_table()
        if "sink-offsets-first" in self._bugs:
            positions = _further(positions, self._source.committed(owned))
        self._writer.resume(owned, positions)
        self._vitals.partitions = len(owned)
        self._vitals.assigned_since = time.monotonic()
        self._vitals.doing = "running"
        _log.info("%d partitions assigned, going on at %s", len(owned), dict(positions))
        return positions

    def _resume_table(self) -> Positions:
        while not self._stop.is_set():
            try:
                positions = self._table.resume()
            except FatalError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing is lost by waiting
                self._vitals.trouble = f"table: {explain(error)}"
                _log.warning("the table cannot be loaded, trying again: %s", explain(error))
                metrics.RETRIES.labels("resume").inc()
                self._stop.wait(_RETRY_SECONDS)
            else:
                self._vitals.trouble = ""
                return positions
        raise AbandonedError

    def _finish(self) -> None:
        """Write all that was read, if that is done in time; else leave it to the successor."""
        deadline = time.monotonic() + FLUSH_SECONDS
        while self._writer.await_idle(max(0.0, deadline - time.monotonic())) and len(self._buffer):
            if self._writer.failure is not None:
                break
            self._writer.submit(self._buffer.take(time.monotonic()))
        self._writer.abandon()
        if self._writer.failure is not None:
            raise self._writer.failure
        self._publish(self._writer.positions())
        self._source.close()
        _log.info("stopped; the table stands at %s", self._writer.positions())


def _further(one: Positions, other: Positions) -> Positions:
    """Tell, per partition, the later of two offsets."""
    return {p: max(one.get(p, 0), other.get(p, 0)) for p in {**one, **other}}
