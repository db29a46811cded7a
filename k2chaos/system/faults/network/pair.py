"""
The two ends of a network fault, and the watch that is kept in the peers' namespaces.

A watcher tries to reach the target once a second. What is tried is a port that nobody listens on:
a refusal is an answer. A target that did not answer before the injection is no target, because then
silence would prove nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from k2chaos.errors import TargetNotReady
from k2chaos.system.faults import System
from k2chaos.system.faults.process import require_running
from k2chaos.system.runtime import Container, ContainerState, HelperCall, Runtime

_WATCH: Final = ("python3", "/opt/k2chaos/watch.py")
_ONCE: Final = "1"
_FOR_EVER: Final = "0"


@dataclass(frozen=True, slots=True)
class Link:
    """
    One peer of the target, and the addresses they have in the networks that both are in.

    Attributes:
        life: Which life of the peer's container this is; a restart begins another.
    """

    peer: Container
    life: str
    here: tuple[str, ...]
    there: tuple[str, ...]


def life_of(state: ContainerState) -> str:
    """Differs between a container's lives; its network namespace lasts as long as one."""
    return f"{state.container_id}@{state.started_at.isoformat() if state.started_at else 'never'}"


def links_between(
    system: System, target: Container, peers: Sequence[Container], kind: str
) -> Iterator[Link]:
    """
    Find how *target* and its *peers* reach each other.

    Raises:
        TargetNotReady: One of them does not run, or shares no network with the target.
    """
    here = system.runtime.addresses(target)
    for peer in peers:
        state = require_running(system, peer, f"{kind} from {target}, as seen")
        there = system.runtime.addresses(peer)
        shared = sorted({*here} & {*there})
        if not shared:
            message = f"{kind} of {target} not begun: it shares no network with {peer}"
            raise TargetNotReady(message)
        yield Link(
            peer,
            life_of(state),
            tuple(here[name] for name in shared),
            tuple(there[name] for name in shared),
        )


def begin_watch(
    runtime: Runtime, tag: str, links: Sequence[Link], patience_seconds: float, probes: int
) -> dict[str, float]:
    """
    Place a watcher beside each peer, which also sends so many *probes* a second.

    Returns:
        By peer: after how many milliseconds the target answered it before anything was done.

    Raises:
        TargetNotReady: The target does not answer it.
    """
    before: dict[str, float] = {}
    for link in links:
        name = _name(link)
        how = (str(patience_seconds), str(probes), *link.here)
        call = HelperCall((*_WATCH, _FOR_EVER, *how), network_of=link.peer)
        runtime.start_helper(call, tag, name)
        first = _fastest(runtime.tell_helper(tag, name, (*_WATCH, _ONCE, *how)))
        if first is None:
            message = (
                f"nothing answered {link.peer} at {', '.join(link.here)} before anything was done, "
                "so nobody could tell that the fault struck; something else cuts them off"
            )
            raise TargetNotReady(message)
        before[str(link.peer)] = first
    return before


def answers(runtime: Runtime, tag: str, links: Sequence[Link]) -> dict[str, float | None]:
    """
    By peer: after how many milliseconds the target answered the last try; ``None`` is silence.

    A peer whose watcher has not tried yet is not listed.
    """
    said = {str(link.peer): runtime.helper_said(tag, _name(link)) for link in links}
    return {peer: _fastest(lines[-1]) for peer, lines in said.items() if lines}


def _name(link: Link) -> str:
    return f"beside {link.peer}"


def _fastest(line: str) -> float | None:
    took: Mapping[str, float | None] = json.loads(line)["answered_ms"]
    return min((one for one in took.values() if one is not None), default=None)
