"""What the source knows of itself: counts, and whether it does its work.

Healthy means: connected, and Kafka acknowledged a trade within the last ten seconds, or nothing
waits and the exchange's history has just said that there was none. Nothing else does; a process
that merely lives is not healthy, and a market at rest is not ill. Counts are plain integers, so
the hot path pays nothing for them; Prometheus reads them when it asks.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

FRESH_SECONDS = 10.0


@dataclass(slots=True)
class Counts:
    """How often what happened since the process started; the metadata is Prometheus' help."""

    received: int = field(default=0, metadata={"help": "messages of the live stream"})
    duplicates: int = field(default=0, metadata={"help": "trades dropped, already passed on"})
    gaps_filled: int = field(default=0, metadata={"help": "gaps filled from the history"})
    gap_records: int = field(default=0, metadata={"help": "trades taken from the history"})
    gap_lost: int = field(default=0, metadata={"help": "trades the exchange no longer had"})
    malformed: int = field(default=0, metadata={"help": "messages that are no trades"})
    unknown_symbols: int = field(default=0, metadata={"help": "trades of symbols not asked for"})
    ahead: int = field(default=0, metadata={"help": "trades dropped, too far ahead"})
    rejected: int = field(default=0, metadata={"help": "trades that TradeV2 cannot represent"})
    odd_times: int = field(default=0, metadata={"help": "live trades a minute off the clock"})
    rounded: int = field(default=0, metadata={"help": "trades with more than eight decimals"})
    reconnects: int = field(default=0, metadata={"help": "connections to the exchange that ended"})
    delivery_errors: int = field(default=0, metadata={"help": "new lives after a failed delivery"})


class Health:
    """The source's state, told by its parts and read by `/health` and `/metrics`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin as starting."""
        self._clock = clock
        self.counts = Counts()
        self.acknowledged: dict[str, int] = {}
        self.newest_ms: dict[str, int] = {}
        self.queued: Callable[[], int] = lambda: 0
        self._trouble: str | None = "starting"
        self._starting = True
        self._fresh_at = -FRESH_SECONDS
        self._message_at = -FRESH_SECONDS
        self._repeats_at = -FRESH_SECONDS
        self._proven = False

    def note_step(self, step: str) -> None:
        """The source is not connected because it is busy with, or stuck in, *step*."""
        self._trouble = f"starting: {step}" if self._starting else step

    def note_connected(self) -> None:
        """The live stream is open; from now on acknowledgements are expected."""
        self._trouble = None
        if self._starting:
            self._fresh_at = self._message_at = self._clock()
            self._starting = False

    def note_message(self) -> None:
        """The live stream said something."""
        self.counts.received += 1
        self._message_at = self._clock()

    def note_repeat(self) -> None:
        """The live stream repeated a trade."""
        self.counts.duplicates += 1
        self._repeats_at = self._clock()

    def note_rest(self) -> None:
        """The history has nothing newer of any symbol than was passed on."""
        if not self.queued():
            self._fresh_at = self._clock()
            self._proven = True

    def note_acknowledged(self, symbol: str, event_ms: int) -> None:
        """Kafka has a trade of *symbol*."""
        self._fresh_at = self._clock()
        self._proven = True
        self.acknowledged[symbol] = self.acknowledged.get(symbol, 0) + 1
        self.newest_ms[symbol] = event_ms

    def trouble(self) -> str | None:
        """Return why the source is not healthy, `None` if it is."""
        if self._trouble is not None:
            return self._trouble
        now = self._clock()
        age = now - self._fresh_at
        if age > FRESH_SECONDS:
            return self._why_stale(now, age)
        return None if self._proven else "starting: nothing acknowledged yet"

    def _why_stale(self, now: float, age: float) -> str:
        waiting = self.queued()
        if waiting:
            return f"Kafka has acknowledged nothing for {age:.0f} s, {waiting} records wait"
        silent = now - self._message_at
        if silent > FRESH_SECONDS:
            return f"exchange silent for {silent:.0f} s"
        if now - self._repeats_at < FRESH_SECONDS:
            return "the exchange sends only ids that the topic already has: did its ids go back?"
        return f"nothing acknowledged for {age:.0f} s"


class HealthCollector(Collector):
    """Prometheus' view of a `Health`."""

    def __init__(self, health: Health) -> None:
        """Read from *health*."""
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """Yield the present values."""
        health = self._health
        for each in fields(Counts):
            value = getattr(health.counts, each.name)
            yield CounterMetricFamily(f"source_{each.name}", each.metadata["help"], value)
        acknowledged = CounterMetricFamily(
            "source_acknowledged", "trades acknowledged by Kafka", labels=["symbol"]
        )
        newest = GaugeMetricFamily(
            "source_newest_acknowledged_event_seconds",
            "event time of the last acknowledged trade, Unix seconds",
            labels=["symbol"],
        )
        for symbol, count in health.acknowledged.items():
            acknowledged.add_metric([symbol], count)
            newest.add_metric([symbol], health.newest_ms[symbol] / 1000)
        yield acknowledged
        yield newest
        yield GaugeMetricFamily("source_queued", "records not acknowledged yet", health.queued())
        yield GaugeMetricFamily(
            "source_healthy", "1 when /health says healthy", health.trouble() is None
        )
