"""
The engine as the observer looks at it: the state of every container, and what happens to them.

One list tells the states of all; what a container uses takes two questions more, which the engine
may be slow to answer: others ask them, of a few containers a look, in turn.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from k2chaos.clock import Clock
from k2chaos.errors import ContainerNotFound, K2ChaosError
from k2chaos.evidence.samples import Sample
from k2chaos.pipeline import Pipeline
from k2chaos.system.engine_view import EngineView, Happening, Listed, Used

ENGINE: Final = "engine"
_USED_A_LOOK: Final = 2
_REOPEN_SECONDS: Final = 0.5
_REMEMBERED: Final = 512
"""Of happenings, so that none is told twice: twice as many as the engine remembers."""


@dataclass(slots=True)
class EngineLook:
    """
    Looks at the containers of the services that *pipeline* lists.

    Attributes:
        reach: Connects to the engine; tried again while it is away.
    """

    pipeline: Pipeline
    reach: Callable[[], EngineView]
    clock: Clock
    _view: EngineView | None = None
    _checked: set[str] = field(default_factory=set)
    _running: Mapping[str, str] = field(default_factory=dict)

    def running(self) -> Mapping[str, str]:
        """By name, the engine's identifier of every container that ran at the last look."""
        return self._running

    def look(self) -> list[Sample]:
        """See `Looking`."""
        began = self.clock.monotonic()
        view = self._view = self._view or self.reach()
        listed = [
            one
            for one in view.listed(self.pipeline.compose.project)
            if one.service in self.pipeline.all_services
        ]
        seconds = self.clock.monotonic() - began
        at = self.clock.now()
        self._running = {one.name: one.identifier for one in listed if one.status == "running"}
        return [
            Sample(at, ENGINE, "attempt_seconds", seconds),
            *self._states(at, listed),
            Sample(at, ENGINE, "impaired_services", float(self._impaired(listed))),
        ]

    def unseen(self, note: str) -> list[Sample]:
        """See `Looking`."""
        return [Sample(self.clock.now(), ENGINE, "attempt_seconds", note=note)]

    def _states(self, at: datetime, listed: list[Listed]) -> Iterator[Sample]:
        """A container of which no list ever told a health has no check, and no such sample."""
        for one in listed:
            runs = float(one.status == "running")
            yield Sample(at, ENGINE, "running", runs, one.name, one.status)
            if one.health:
                self._checked.add(one.name)
            if one.name in self._checked:
                word = one.health or one.status
                yield Sample(at, ENGINE, "healthy", float(word == "healthy"), one.name, word)

    def _impaired(self, listed: list[Listed]) -> int:
        """Services without container, or with one that does not run or is not healthy."""
        well: dict[str, bool] = {}
        for one in listed:
            is_well = one.status == "running" and one.health in {"", "healthy"}
            well[one.service] = well.get(one.service, True) and is_well
        return sum(not well.get(service, False) for service in self.pipeline.all_services)


@dataclass(slots=True)
class UsesLook:
    """
    Asks what containers use, a few a look.

    Attributes:
        running: By name, the containers to ask about.
    """

    running: Callable[[], Mapping[str, str]]
    reach: Callable[[], EngineView]
    clock: Clock
    _view: EngineView | None = None
    _turn: deque[str] = field(default_factory=deque)
    _used: dict[str, Used] = field(default_factory=dict)

    def look(self) -> list[Sample]:
        """See `Looking`."""
        view = self._view = self._view or self.reach()
        return [*self._uses(view, self.running())]

    def unseen(self, _note: str) -> list[Sample]:
        """See `Looking`; that the engine does not answer is told by those who ask for the list."""
        return []

    def _uses(self, view: EngineView, running: Mapping[str, str]) -> Iterator[Sample]:
        self._turn = deque(name for name in self._turn if name in running)
        self._turn.extend(name for name in running if name not in self._turn)
        for _ in range(min(_USED_A_LOOK, len(self._turn))):
            self._turn.rotate(-1)
            name = self._turn[-1]
            try:
                used = view.used(running[name])
            except ContainerNotFound:
                continue  # it went away since it was listed
            yield from self._use(name, used)

    def _use(self, name: str, used: Used) -> Iterator[Sample]:
        at, before = self.clock.now(), self._used.get(name)
        self._used[name] = used
        yield Sample(at, ENGINE, "restarts", float(used.restarts), name)
        yield Sample(at, ENGINE, "memory_bytes", float(used.memory_bytes), name)
        if before is None or used.cpu_seconds < before.cpu_seconds:
            return  # it was not seen before, or was started anew since
        elapsed = (used.at - before.at).total_seconds()
        if elapsed > 0:
            cores = (used.cpu_seconds - before.cpu_seconds) / elapsed
            yield Sample(at, ENGINE, "cpu_cores", cores, name)


@dataclass(slots=True)
class EngineListener:
    """
    Hears what happens to the pipeline's containers, and tells each thing once.

    The engine's stream ends with the engine; it is opened again, and the engine then tells what it
    remembers of the time between.

    Attributes:
        tell: Takes what happened, as it does.
    """

    pipeline: Pipeline
    reach: Callable[[], EngineView]
    tell: Callable[[Happening], None]
    clock: Clock
    _told: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def listen(self, over: threading.Event) -> None:
        """Listen until it is *over*, in a thread of its own: the wait for the engine has no end."""
        since = self.clock.now()
        while not over.is_set():
            try:
                for one in self.reach().happenings(self.pipeline.compose.project, since):
                    since = max(since, one.at)
                    self._hear(one)
            except K2ChaosError:
                pass  # that the engine is away is told by those who look at it
            self.clock.wait(_REOPEN_SECONDS, over)

    def _hear(self, one: Happening) -> None:
        if one.service in self.pipeline.all_services and one.identity not in self._told:
            self._told.append(one.identity)
            self.tell(one)
