"""What an earlier lab left behind, and what is done with it before the next one starts."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from k2chaos.system.lab.docker_api import LabContainer, LabEngine

# Compose renames a container it is about to replace; who interrupts it there finds two.
_HALF_REPLACED: Final = re.compile(r"[0-9a-f]{12}_.+")
_UNUSABLE: Final = frozenset({"created", "dead", "removing"})


class Remedy(StrEnum):
    """What is done with a leftover."""

    REMOVE = "remove"
    UNPAUSE = "unpause"


@dataclass(frozen=True, slots=True)
class Leftover:
    """A container that Compose would stumble over, and why."""

    container: LabContainer
    remedy: Remedy
    why: str


def leftovers(containers: Iterable[LabContainer], networks: frozenset[str]) -> tuple[Leftover, ...]:
    """
    Find what Compose would stumble over; running containers are never among it.

    Args:
        containers: Of the lab's project.
        networks: Ids of the networks that exist.
    """
    return tuple(one for container in containers for one in _leftover(container, networks))


def _leftover(container: LabContainer, networks: frozenset[str]) -> Iterable[Leftover]:
    if container.state == "paused":
        yield Leftover(container, Remedy.UNPAUSE, "is frozen")
    elif container.state in _UNUSABLE:
        yield Leftover(container, Remedy.REMOVE, f"was left {container.state}")
    elif container.state != "running" and _HALF_REPLACED.fullmatch(container.name):
        yield Leftover(container, Remedy.REMOVE, "was half replaced")
    elif container.state == "exited" and not networks.issuperset(container.networks):
        yield Leftover(container, Remedy.REMOVE, "belongs to a network that is gone")


def clear(engine: LabEngine, found: Iterable[Leftover]) -> None:
    """Carry the remedies out."""
    for one in found:
        if one.remedy is Remedy.UNPAUSE:
            engine.unpause(one.container)
        else:
            engine.remove(one.container)
