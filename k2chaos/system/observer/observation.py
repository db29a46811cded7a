"""
What is looked at of one pipeline, how often, and by whom.

No client here is anybody else's. The stages are looked at a moment after the exchange that they
are held against.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from k2chaos.clock import Clock
from k2chaos.pipeline import Pipeline
from k2chaos.system.api import ApiClient
from k2chaos.system.engine_view import EngineView, Happening
from k2chaos.system.exchange import ExchangeClient
from k2chaos.system.observer.api_look import ApiLook, HealthLook
from k2chaos.system.observer.engine_look import ENGINE, EngineListener, EngineLook, UsesLook
from k2chaos.system.observer.exchange_look import ExchangeLook
from k2chaos.system.observer.gauge import AgainstExchange, AgainstItself, Gauge, Unaided
from k2chaos.system.observer.notebook import Notebook
from k2chaos.system.observer.stage import Shown, StageLook
from k2chaos.system.observer.table_look import TableLook
from k2chaos.system.observer.ticking import Ticker
from k2chaos.system.observer.topic_look import TopicLook
from k2chaos.system.observer.watch import Looking, Watch

AFTER_EXCHANGE_SECONDS: Final = 0.03
"""So much later than the exchange the others are looked at: it has answered by then."""
HEALTH_SECONDS: Final = 1.0
ENGINE_SECONDS: Final = 1.0
FIRST_LOOK_SECONDS: Final = 6.0
"""How long first looks are waited for: a little more than the longest one takes to fail."""

_Ask = Callable[[Mapping[str, int]], Shown]


@dataclass(slots=True)
class Observation:
    """Everything that samples one pipeline, from `start` to `stop`."""

    notebook: Notebook
    clock: Clock
    over: threading.Event
    _watches: list[tuple[Watch, float, float]] = field(default_factory=list)
    _listeners: list[Callable[[threading.Event], None]] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def watch(self, looking: Looking, name: str, period: float, offset: float = 0.0) -> None:
        """Look at something every *period* seconds."""
        self._watches.append((Watch(name, looking, self.notebook.put), period, offset))

    def listen(self, listen: Callable[[threading.Event], None]) -> None:
        """Have something listen until it is over; it is not waited for."""
        self._listeners.append(listen)

    def start(self) -> None:
        """
        Begin; returns when everything was looked at once, or failed, or hangs.

        First looks load libraries and connect, so the grid begins behind them; the first watch's
        comes before the others, which are held against it.
        """
        self._begin(self._keep)
        for listen in self._listeners:
            threading.Thread(target=listen, args=(self.over,), daemon=True).start()
        watches = [watch for watch, _, _ in self._watches]
        for some in (watches[:1], watches[1:]):
            until = self.clock.monotonic() + FIRST_LOOK_SECONDS
            for watch in some:
                watch.start()
                watch.tick()
            for watch in some:
                watch.await_look(max(0.0, until - self.clock.monotonic()))
        ticker = Ticker(self.clock, self.over)
        for watch, period, offset in self._watches:
            ticker.every(period, watch.tick, offset)
        self._begin(ticker.run)

    def stop(self) -> None:
        """End; returns when all that was seen is on disk. What hangs is left to itself."""
        self.over.set()
        for watch, _, _ in self._watches:
            watch.stop()
        for thread in self._threads:
            thread.join()

    def _keep(self) -> None:
        self.notebook.keep(self.over)

    def _begin(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        self._threads.append(thread)


def observe_stages(observation: Observation, pipeline: Pipeline, clock: Clock) -> None:
    """Look at every stage that *pipeline* has, as often as its file says."""
    exchange = None
    if pipeline.exchange is not None:
        exchange = ExchangeLook(ExchangeClient(pipeline.exchange.control), clock)
    first: StageLook | None = None
    for stage, ask, rate in _asks(pipeline, exchange, clock):
        gauge: Gauge = Unaided(first.shown if first else dict, clock)
        if exchange is not None:
            kind = AgainstExchange if first else AgainstItself
            gauge = kind(exchange.said, clock)
        look = StageLook(stage, ask, gauge, clock)
        first = first or look
        offset = 0.0 if stage == "exchange" else AFTER_EXCHANGE_SECONDS
        observation.watch(look, stage, 1 / rate, offset)
    if pipeline.api is not None:
        health = HealthLook(ApiClient(pipeline.api, pipeline.record), clock)
        observation.watch(health, "health", HEALTH_SECONDS, AFTER_EXCHANGE_SECONDS)


def observe_engine(
    observation: Observation,
    pipeline: Pipeline,
    reach: Callable[[], EngineView],
    tell: Callable[[Happening], None],
    clock: Clock,
) -> None:
    """Look at the containers once a second, and *tell* what happens to them."""
    look = EngineLook(pipeline, reach, clock)
    observation.watch(look, ENGINE, ENGINE_SECONDS, AFTER_EXCHANGE_SECONDS)
    uses = UsesLook(look.running, reach, clock)
    observation.watch(uses, "uses", ENGINE_SECONDS, ENGINE_SECONDS / 2)
    observation.listen(EngineListener(pipeline, reach, tell, clock).listen)


def _asks(
    pipeline: Pipeline, exchange: ExchangeLook | None, clock: Clock
) -> Iterator[tuple[str, _Ask, float]]:
    """The stages in their order: how each is asked, and how often a second."""
    rates = pipeline.sampling
    if exchange is not None:
        yield "exchange", exchange.ask, rates.exchange_hz
    if pipeline.topic is not None:
        yield "topic", TopicLook(pipeline.topic, pipeline.record, clock).ask, rates.exchange_hz
    if pipeline.table is not None:
        yield "table", TableLook(pipeline.table, pipeline.record).ask, rates.table_hz
    if pipeline.api is not None:
        yield "api", ApiLook(pipeline.api, pipeline.record).ask, rates.api_hz
