"""
The writer: one thread that takes a batch at a time from bytes to committed rows.

It runs beside the polling so that a slow catalog never costs us our place in the group. Each
of its three steps (decode, dead letters, commit) is tried until it succeeds; the process being
told to end, or a fatal error, are the only ways out.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from consumer_crypto import metrics, trade
from consumer_crypto.batch import Batch, Record
from consumer_crypto.codec import Decoder, UndecodableError
from consumer_crypto.dlq import DeadLetters, Letter
from consumer_crypto.errors import AbandonedError, FatalError, FencedError
from consumer_crypto.files import Step
from consumer_crypto.health import Vitals
from consumer_crypto.trouble import explain
from consumer_crypto.upkeep import Upkeep

_log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 2.0


T = TypeVar("T")


class Destination(Protocol):
    """Where rows go."""

    conflicts: int

    def append(self, step: Step, owned: AbstractSet[int]) -> None:
        """Commit one step; see `TradesTable.append`."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a batch's records."""

    trades: list[dict[str, Any]]
    letters: list[Letter]


class Writer:
    """Owns the thread; the reader hands batches over and asks how things stand."""

    def __init__(
        self,
        decoder: Decoder,
        dead_letters: DeadLetters,
        table: Destination,
        upkeep: Upkeep,
        vitals: Vitals,
        bugs: AbstractSet[str] = frozenset(),
    ) -> None:
        """Decode with *decoder*, write to *table* and *dead_letters*, report to *vitals*."""
        self._decoder = decoder
        self._dead_letters = dead_letters
        self._table = table
        self._upkeep = upkeep
        self._vitals = vitals
        self._bugs = bugs
        self._inbox: queue.SimpleQueue[Batch] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._abandon = threading.Event()
        self._owned: frozenset[int] = frozenset()
        self._positions: dict[int, int] = {}
        self.failure: Exception | None = None
        # A daemon: a call that hangs in a library must not keep a process alive that was told
        # to end. What it was doing is read again.
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def resume(self, owned: AbstractSet[int], positions: Mapping[int, int]) -> None:
        """Go on with the partitions *owned* at *positions*. Only while idle."""
        self._owned = frozenset(owned)
        self._positions = dict(positions)

    def submit(self, batch: Batch) -> None:
        """Hand *batch* over. Only while idle."""
        self._idle.clear()
        self._vitals.in_hand_since = batch.opened_at
        self._inbox.put(batch)

    def is_idle(self) -> bool:
        """Tell whether a batch can be handed over."""
        return self._idle.is_set()

    def await_idle(self, seconds: float) -> bool:
        """Wait until the batch in hand is done; false if it is not after *seconds*."""
        return self._idle.wait(seconds)

    def abandon(self) -> None:
        """Give up at the next opportunity."""
        self._abandon.set()

    def positions(self) -> dict[int, int]:
        """Tell the offsets that the table carries by now."""
        return self._positions

    def _run(self) -> None:
        while True:
            batch = self._inbox.get()
            try:
                self._write(batch)
                self._keep_up()
            except AbandonedError:
                _log.info("gave up on a batch of %d records: shutting down", len(batch.records))
                return
            except Exception as error:  # noqa: BLE001 - handed to the main thread, which raises it
                self.failure = error
                return
            finally:
                self._vitals.in_hand_since = None
                self._idle.set()

    def _write(self, batch: Batch) -> None:
        batch.check_follows(self._positions)
        started = time.monotonic()
        decoded, rest = Decoded([], []), deque(batch.records)
        self._patiently("decode", lambda: self._decode(rest, decoded))
        self._patiently("dead-letters", lambda: self._dead_letters.send(decoded.letters))
        if "sink-rounds-prices" in self._bugs:
            _round_prices(decoded.trades)
        ends = batch.next_offsets()
        step = Step(batch.id, trade.as_rows(decoded.trades), ends)
        self._patiently("commit", lambda: self._append(step))
        self._positions = {**self._positions, **ends}
        self._report(decoded, started)

    def _keep_up(self) -> None:
        # Not idle yet: nobody else may use the table meanwhile.
        self._vitals.in_hand_since = None
        with self._counting_conflicts():
            self._upkeep.step()

    def _decode(self, rest: deque[Record], decoded: Decoded) -> None:
        # What was told of a record stands: the next try goes on where this one failed.
        while rest:
            record = rest[0]
            try:
                decoded.trades.append(self._decoder.decode(record.value))
            except UndecodableError as error:
                if "sink-drops-undecodable" not in self._bugs:
                    decoded.letters.append(Letter(record, error.reason, str(error)))
            rest.popleft()

    def _append(self, step: Step) -> None:
        try:
            with self._counting_conflicts():
                self._table.append(step, self._owned)
        except FencedError:
            metrics.FENCED.inc()
            raise
        except Exception:
            if "sink-skips-failed-batch" not in self._bugs:
                raise

    @contextlib.contextmanager
    def _counting_conflicts(self) -> Iterator[None]:
        before = self._table.conflicts
        try:
            yield
        finally:
            metrics.CONFLICTS.inc(self._table.conflicts - before)

    def _patiently(self, step: str, action: Callable[[], T]) -> T:
        pause = _FIRST_PAUSE
        self._vitals.step = step
        while not self._abandon.is_set():
            self._vitals.step_since = time.monotonic()
            try:
                result = action()
            except FatalError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing is lost by waiting
                self._vitals.trouble = f"{step}: {explain(error)}"
                _log.warning("%s failed, trying again: %s", step, explain(error))
                metrics.RETRIES.labels(step).inc()
            else:
                self._vitals.trouble = ""
                return result
            finally:
                self._vitals.step_since = None
            self._abandon.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        raise AbandonedError

    def _report(self, decoded: Decoded, started: float) -> None:
        now = time.monotonic()
        self._vitals.committed_at = now
        metrics.COMMIT_SECONDS.observe(now - started)
        metrics.BATCHES.inc()
        metrics.RECORDS_WRITTEN.inc(len(decoded.trades))
        metrics.LAST_COMMIT.set_to_current_time()
        for letter in decoded.letters:
            metrics.DEAD_LETTERS.labels(letter.reason).inc()
            _log.warning(
                "record %d/%d went to the dead letters, %s: %s",
                letter.record.partition,
                letter.record.offset,
                letter.reason,
                letter.text,
            )
        if decoded.trades:
            newest = max(one["timestamp"] for one in decoded.trades)
            metrics.LAST_EVENT_TIME.set(newest.timestamp())


def _round_prices(trades: list[dict[str, Any]]) -> None:
    for one in trades:
        one["price"] = round(one["price"], 2)
