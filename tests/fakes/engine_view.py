"""What an engine shows to somebody who looks all the time, of containers in memory only."""

import queue
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from k2chaos.errors import ContainerNotFound, EngineUnreachable
from k2chaos.system.engine_view import Happening, Listed, Used
from tests.fakes.clock import FakeClock

_GONE = None


@dataclass
class FakeEngineView:
    """
    Containers, and what happened to them; obeys tests/contract/test_engine_view.py.

    Attributes:
        is_away: Refuses every question.
        opened: Since when each stream was to tell what happened.
    """

    clock: FakeClock = field(default_factory=FakeClock)
    containers: dict[str, Listed] = field(default_factory=dict)
    uses: dict[str, Used] = field(default_factory=dict)
    remembered: list[Happening] = field(default_factory=list)
    is_away: bool = False
    opened: list[datetime] = field(default_factory=list)
    _listeners: "list[queue.SimpleQueue[Happening | None]]" = field(default_factory=list)

    def add(self, service: str, number: int = 1, health: str = "") -> str:
        """Start one; its name."""
        name = f"{service}-{number}"
        self.containers[name] = Listed(name, service, f"id-of-{name}", "running", health)
        self.uses[name] = Used(self.clock.now(), 0.0, 1000, 0)
        return name

    def remove(self, name: str) -> None:
        """Take one away."""
        del self.containers[name], self.uses[name]

    def set(self, name: str, status: str, health: str = "") -> None:
        """Change what is listed of one."""
        self.containers[name] = replace(self.containers[name], status=status, health=health)

    def spend(self, name: str, cpu_seconds: float, elapsed: float) -> None:
        """Let it use so much within so long."""
        used = self.uses[name]
        at = used.at + timedelta(seconds=elapsed)
        self.uses[name] = replace(used, at=at, cpu_seconds=used.cpu_seconds + cpu_seconds)

    def happen(self, name: str, action: str, exit_code: int | None = None) -> Happening:
        """Let something happen to it."""
        service = name.rpartition("-")[0]
        identity = f"{len(self.remembered)} {name} {action}"
        one = Happening(self.clock.now(), name, service, action, exit_code, identity)
        self.remembered.append(one)
        for listener in self._listeners:
            listener.put(one)
        return one

    def go_away(self) -> None:
        """End every stream, as an engine that is stopped does."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.put(_GONE)

    def listed(self, project: str) -> tuple[Listed, ...]:
        """See `EngineView`."""
        self._answer()
        return tuple(self.containers.values())

    def used(self, identifier: str) -> Used:
        """See `EngineView`."""
        self._answer()
        name = identifier.removeprefix("id-of-")
        if name not in self.uses:
            message = f"no {name}"
            raise ContainerNotFound(message)
        return self.uses[name]

    def happenings(self, project: str, since: datetime) -> Iterator[Happening]:
        """See `EngineView`."""
        self._answer()
        mine: queue.SimpleQueue[Happening | None] = queue.SimpleQueue()
        for one in self.remembered:
            if one.at >= since:
                mine.put(one)
        self._listeners.append(mine)
        self.opened.append(since)
        while (heard := mine.get()) is not _GONE:
            yield heard

    def close(self) -> None:
        """See `EngineView`."""
        self.go_away()

    def _answer(self) -> None:
        if self.is_away:
            message = "nothing answers"
            raise EngineUnreachable(message)
