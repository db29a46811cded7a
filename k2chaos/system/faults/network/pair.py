"""
The two ends of a network fault, and the watch that is kept in the peers' namespaces.

A watcher tries once a second how the target answers. A target that did not answer before the
injection is no target, because then silence would prove nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from k2chaos.errors import TargetNotReady
from k2chaos.system.faults import System
from k2chaos.system.faults.process import require_running
from k2chaos.system.runtime import Container, ContainerState, HelperCall, Runtime

_ONCE: Final = 1
_TRIES: Final = 3
"""Before the fault: what answers may have been started just now."""
_FOR_EVER: Final = 0
_CAPABILITIES: Final = ("NET_RAW",)

Sight = Mapping[str, Any]
"""
What one attempt saw: ``answered_ms`` (``None`` is silence), and whatever else its way looks for,
in the words of ``helper/watch.py``.
"""


EXPECTED: Final = 10
"""So many of a round's attempts are to meet a fault that meets a share of them: that none does is
then a chance of 1 in 20,000 (Poisson)."""


def enough_for(percent: float) -> int:
    """How many attempts a round needs where *percent* of them meet the fault."""
    return round(EXPECTED * 100 / percent)


@dataclass(frozen=True, slots=True)
class Watch:
    """
    How a watcher tries.

    Attributes:
        way: One of ``WAYS`` in ``helper/watch.py``.
        patience_seconds: For how long an attempt waits before it counts as silence.
        how: The other arguments of the way.
    """

    way: str = "knock"
    patience_seconds: float = 0.8
    how: Mapping[str, float | str] = field(default_factory=dict)

    def command(self, rounds: int, addresses: Sequence[str]) -> tuple[str, ...]:
        """What a helper runs; 0 rounds are for ever."""
        how = json.dumps({"patience_seconds": self.patience_seconds, **self.how})
        watch = ("python3", "/opt/k2chaos/watch.py", str(rounds), self.way)
        return (*watch, how, *addresses)


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
        TargetNotReady: One of them does not run, or shares no network with the target; or the
            target has an IPv6 address.
    """
    here = system.runtime.addresses(target)
    if system.runtime.has_ipv6(target):
        message = (
            f"{kind} of {target} not begun: it has an IPv6 address, and rules are made for IPv4 "
            "alone, so that its peers would still reach it"
        )
        raise TargetNotReady(message)
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
    runtime: Runtime, tag: str, links: Sequence[Link], watch: Watch
) -> dict[str, Sight]:
    """
    Place a watcher beside each peer.

    Returns:
        By peer: how the target answered it before anything was done.

    Raises:
        TargetNotReady: The target does not answer it.
    """
    before: dict[str, Sight] = {}
    for link in links:
        name = _name(link)
        command = watch.command(_FOR_EVER, link.here)
        call = HelperCall(command, network_of=link.peer, capabilities=_CAPABILITIES)
        runtime.start_helper(call, tag, name)
        for _ in range(_TRIES):
            seen = _seen(link, runtime.tell_helper(tag, name, watch.command(_ONCE, link.here)))
            if all(sight["answered_ms"] is not None for sight in seen.values()):
                break
        else:
            message = (
                f"nothing answered {link.peer} at {', '.join(link.here)} before anything was done, "
                "so nobody could tell that the fault struck; something else cuts them off"
            )
            raise TargetNotReady(message)
        before |= seen
    return before


def sights(runtime: Runtime, tag: str, links: Sequence[Link]) -> dict[str, Sight]:
    """
    By peer: how the target answered the last attempt.

    A peer whose watcher has not tried yet is not listed; one with several networks in common is
    listed once for each.
    """
    said = ((link, runtime.helper_said(tag, _name(link))) for link in links)
    seen = (_seen(link, lines[-1]) for link, lines in said if lines)
    return {peer: sight for one in seen for peer, sight in one.items()}


def expected(links: Sequence[Link]) -> int:
    """How many sights there are once all have tried."""
    return sum(len(link.here) for link in links)


def _name(link: Link) -> str:
    return f"beside {link.peer}"


def _seen(link: Link, line: str) -> dict[str, Sight]:
    saw: Mapping[str, Sight] = json.loads(line)["saw"]
    return {
        str(link.peer) if len(link.here) == 1 else f"{link.peer} at {address}": saw[address]
        for address in link.here
    }
