"""
What the engine shows of a project to somebody who looks all the time: cheap, and never for targets.

`Runtime` asks about one container and waits for the answer; here one question covers them all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

ACTIONS: Final = (
    "start",
    "die",
    "kill",
    "stop",
    "restart",
    "pause",
    "unpause",
    "oom",
    "health_status",
)
"""What happens to containers and is worth telling, in the engine's words."""


@dataclass(frozen=True, slots=True)
class Listed:
    """
    One container as the engine lists it.

    Attributes:
        name: ``service-number``.
        status: The engine's word: ``running``, ``paused``, ``exited``, ...
        health: ``starting``, ``healthy``, ``unhealthy``; empty where the list does not say, as of
            a container without a check, or one that is frozen or down.
    """

    name: str
    service: str
    identifier: str
    status: str
    health: str


@dataclass(frozen=True, slots=True)
class Used:
    """
    What one container used.

    Attributes:
        at: The engine's clock.
        cpu_seconds: Since it was started.
        restarts: How often the engine restarted it by itself.
    """

    at: datetime
    cpu_seconds: float
    memory_bytes: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Happening:
    """
    Something that happened to a container.

    Attributes:
        at: The engine's clock.
        name: ``service-number``.
        identity: Tells it from every other, also when it is told again.
    """

    at: datetime
    name: str
    service: str
    action: str
    exit_code: int | None
    identity: str


class EngineView(Protocol):
    """A connection of its own to the engine. `EngineUnreachable` where it does not answer."""

    def listed(self, project: str) -> tuple[Listed, ...]:
        """All containers of *project*, stopped ones too."""

    def used(self, identifier: str) -> Used:
        """What that container used; `ContainerNotFound` where it is gone."""

    def happenings(self, project: str, since: datetime) -> Iterator[Happening]:
        """
        What happened to the project's containers from *since* on, as far as the engine remembers,
        and then what happens, as it does; ends when the engine goes away.
        """

    def close(self) -> None:
        """Disconnect; streams end."""
