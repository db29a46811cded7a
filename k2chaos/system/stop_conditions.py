"""
Stop conditions: on what sight a run ends itself (`stop_when` of the pipeline file).

They are looked at every 250 ms while anything is held, in a thread of their own: a hold is never
delayed by a look. Each quantity is read in a thread of its own as well, and never twice at once:
a read that hangs delays neither the next look nor the other quantity. While freshness cannot be
seen it goes on growing, as its definition says.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from k2chaos.clock import Clock
from k2chaos.errors import K2ChaosError
from k2chaos.pipeline import Pipeline
from k2chaos.system.interrupt import Interrupt
from k2chaos.system.runtime import Runtime
from k2chaos.system.stages import Stages

logger = logging.getLogger("chaostoolkit")

EVERY_SECONDS: Final = 0.25
_READ_ALONG_SECONDS: Final = 0.1
"""How long a look waits for what it asked for: most answers are there by then."""


@dataclass(slots=True)
class Condition:
    """
    One quantity and its bound.

    Attributes:
        name: Key of `stop_when`.
        grows: Whether it grows by a second a second while nobody can see it.
    """

    name: str
    limit: float
    read: Callable[[], float]
    clock: Clock
    grows: bool = False
    trouble: str = ""
    _value: float | None = None
    _seen_at: float = 0.0
    _reading: threading.Thread | None = None

    def begin(self) -> None:
        """Forget what was seen before; unseen time counts from here."""
        self._value, self._seen_at = None, self.clock.monotonic()

    def look(self) -> str:
        """Start a read unless one is under way; what is breached by what is known, or nothing."""
        if self._reading is None or not self._reading.is_alive():
            self._reading = threading.Thread(
                target=self._read, args=(self.clock.monotonic(),), name=self.name, daemon=True
            )
            self._reading.start()
        self._reading.join(_READ_ALONG_SECONDS)
        value = self._known()
        if value is None or value <= self.limit:
            return ""
        unseen = f" ({self.trouble})" if self.trouble else ""
        return f"{self.name} is {value:.3g}, above {self.limit:g}{unseen}"

    def _known(self) -> float | None:
        if not self.grows:
            return self._value
        return (self._value or 0.0) + self.clock.monotonic() - self._seen_at

    def _read(self, asked_at: float) -> None:
        try:
            value = self.read()
        except (K2ChaosError, OSError) as error:
            if not self.trouble:
                logger.warning("stop condition %s cannot be seen: %s", self.name, error)
            self.trouble = f"not seen: {error}"
            return
        if asked_at >= self._seen_at:  # else it was asked before the watch began
            self._value, self._seen_at, self.trouble = value, asked_at, ""


@dataclass(slots=True)
class StopConditions:
    """
    What is watched while a run holds something.

    Attributes:
        end: Ends the run; gets the reason.
    """

    conditions: Sequence[Condition]
    end: Callable[[str], None]
    clock: Clock
    _holds: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch for the block; blocks of several threads share one watch."""
        with self._lock:
            self._holds += 1
            if self._holds == 1 and self.conditions:
                self._over = threading.Event()
                threading.Thread(target=self.watch, args=(self._over,), daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._holds -= 1
                if not self._holds:
                    self._over.set()

    def watch(self, over: threading.Event) -> None:
        """Look every 250 ms until *over*; end the run on the first breach."""
        for condition in self.conditions:
            condition.begin()
        while not over.is_set():
            started = self.clock.monotonic()
            for condition in self.conditions:
                reason = condition.look()
                if reason and not over.is_set():
                    self.end(f"stop_when.{reason}")
                    return
            self.clock.wait(max(0.0, EVERY_SECONDS - (self.clock.monotonic() - started)), over)


def stop_conditions(
    pipeline: Pipeline, stages: Stages, runtime: Runtime, interrupt: Interrupt, clock: Clock
) -> StopConditions:
    """Those of *pipeline*: freshness of its last stage, and the engine's disk."""
    when = pipeline.stop_when
    conditions = [
        Condition("disk_used_ratio", when.disk_used_ratio, runtime.disk_used_ratio, clock)
    ]
    if pipeline.stages:
        stale = partial(stages.freshness_seconds, pipeline.stages[-1])
        conditions.append(
            Condition("freshness_seconds", when.freshness_seconds, stale, clock, grows=True)
        )
    return StopConditions(conditions, lambda reason: interrupt.end(reason, "stop-condition"), clock)
