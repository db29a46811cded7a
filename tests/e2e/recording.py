"""
What could be seen of all services while something was broken: one outage, many assertions.

A recording is made once and asked by many tests; what they assert on was seen, not assumed.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import httpx

from k2chaos.clock import SystemClock
from k2chaos.system.runtime import ContainerState
from tests.e2e.content import ask
from tests.e2e.lab import HEALTH_PORTS, Lab

_LOOK_SECONDS: Final = 0.25
_FRESHNESS_SECONDS: Final = 0.2
_FIRST_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Look:
    """
    One look at everything.

    Attributes:
        health: By role, what ``/health`` answered: status (0: nothing) and body.
        states: By service, what the engine says.
        read: What a read of the API answered: status (0: nothing) and ``meta``.
    """

    at: datetime
    health: dict[str, tuple[int, dict[str, Any]]]
    states: dict[str, ContainerState]
    read: tuple[int, dict[str, Any]]

    def __str__(self) -> str:
        """What matters of it, in a few words."""
        said = {role: (code, body.get("reason")) for role, (code, body) in self.health.items()}
        return f"health {said}, read {self.read}"


@dataclass
class Recording:
    """The looks of one outage, and when it began and ended (aware UTC)."""

    looks: list[Look] = field(default_factory=list)
    broken_from: datetime | None = None
    broken_until: datetime | None = None

    def newest(self) -> Look:
        """The last look; waits for the first."""
        clock = SystemClock()
        until = clock.monotonic() + _FIRST_SECONDS
        while not self.looks:
            assert clock.monotonic() < until, "nobody looks"
            clock.wait(_LOOK_SECONDS)
        return self.looks[-1]

    def await_another(self) -> None:
        """Wait for a look that began after this call."""
        clock = SystemClock()
        now, until = clock.now(), clock.monotonic() + _FIRST_SECONDS
        while self.newest().at < now:
            assert clock.monotonic() < until, "nobody looks any more"
            clock.wait(_LOOK_SECONDS)

    def during(self) -> list[Look]:
        """The looks while it was broken; there must be some."""
        assert self.broken_from is not None
        assert self.broken_until is not None
        found = [one for one in self.looks if self.broken_from <= one.at <= self.broken_until]
        assert found, "nobody looked while it was broken"
        return found

    def after(self) -> list[Look]:
        """The looks after it was healed; there must be some."""
        assert self.broken_until is not None
        found = [one for one in self.looks if one.at > self.broken_until]
        assert found, "nobody looked after the heal"
        return found

    def first(self, looks: list[Look], is_met: Callable[[Look], bool], what: str) -> Look:
        """The first of *looks* that meets it."""
        found = next((one for one in looks if is_met(one)), None)
        assert found is not None, f"never seen in {len(looks)} looks: {what}; last: {looks[-1]}"
        return found

    def seconds_until(self, look: Look) -> float:
        """From the beginning of the outage to *look*."""
        assert self.broken_from is not None
        return (look.at - self.broken_from).total_seconds()


@contextmanager
def recorded(lab: Lab) -> Iterator[Recording]:
    """Look at everything four times a second while the block runs."""
    recording = Recording()
    found = lab.runtime.containers(lab.pipeline.compose.project)
    containers = {one.service: one for one in found}

    def look() -> None:
        began = lab.clock.now()
        health = {role: lab.health(role) for role in HEALTH_PORTS}
        states = {name: lab.runtime.state(one) for name, one in containers.items()}
        recording.looks.append(Look(began, health, states, _read(lab)))

    with _again_and_again(look, _LOOK_SECONDS):
        yield recording


@contextmanager
def freshness_of(lab: Lab, stage: str = "api") -> Iterator[list[float]]:
    """Freshness of *stage* while the block runs, looked at five times a second."""
    found: list[float] = []
    with _again_and_again(lambda: found.append(lab.freshness(stage)), _FRESHNESS_SECONDS):
        yield found


@contextmanager
def _again_and_again(look: Callable[[], None], pause_seconds: float) -> Iterator[None]:
    """Look beside the block while it runs, in a thread."""
    clock, over = SystemClock(), threading.Event()

    def go_on() -> None:
        while not clock.wait(pause_seconds, over):
            look()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _read(lab: Lab) -> tuple[int, dict[str, Any]]:
    try:
        answer = ask(lab.pipeline, "/v1/trades", limit="1")
        return answer.status_code, answer.json().get("meta", {})
    except (httpx.HTTPError, ValueError) as error:
        return 0, {"reason": str(error)}
