"""What all network faults share that are rules in the target's packet filter."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Final, Self

from k2chaos.errors import FaultError, TargetError, UsageError
from k2chaos.system.faults import System, Witnessed, new_tag
from k2chaos.system.faults.network import chain
from k2chaos.system.faults.network.chain import FILTER, Counted, Place
from k2chaos.system.faults.network.pair import (
    Link,
    Sight,
    Watch,
    begin_watch,
    expected,
    life_of,
    links_between,
    sights,
)
from k2chaos.system.faults.process import LANDING_SECONDS, require_running
from k2chaos.system.runtime import Container

LEAD_SECONDS: Final = 3.0
"""A helper at each end has to be started before the rules' instant."""
_WATCHED_PEERS: Final = 3
"""Watchers cost; with more peers than this the others are told by the kernel's count alone."""


@dataclass(frozen=True, slots=True)
class Ruled:
    """
    A fault that is rules in the target's packet filter, about packets from and to its peers.

    A kind says which rules, and how its effect looks from the peers and in the kernel's counts.
    Healed by removing the fault's own rules; then the pair's connections are reset once, so that
    recovery is the pipeline's and not TCP's back-off. Gone when a fresh look finds no rule of this
    fault, or the container was restarted or re-created (rules die with its network namespace).
    When a peer was restarted nobody watches any longer: the fault counts as ended early, and is
    healed.
    """

    kind: ClassVar[str] = ""
    undone_by: ClassVar[str] = "remove the rules, reset the pair's connections once"
    marks: ClassVar[tuple[str, str]] = ("", "")
    lead_seconds: ClassVar[float] = LEAD_SECONDS
    heal_lead_seconds: ClassVar[float] = 0.0
    place: ClassVar[Place] = FILTER
    lasts_unseen: ClassVar[bool] = False
    """Whether it counts as in effect while its rules and helpers are there, once it was seen."""
    target: Container
    peers: tuple[Container, ...] = ()
    links: tuple[Link, ...] = ()
    life_before: str = ""
    tag: str = field(default_factory=new_tag)

    @property
    def landing_seconds(self) -> float:
        """The helper's wait for the instant, and what the engine may take over a request."""
        return LEAD_SECONDS + LANDING_SECONDS

    def rules_about(self, peer: str) -> Iterator[str]:
        """The rules about packets from and to the address *peer*."""
        raise NotImplementedError

    def is_struck(self, counted: Counted, seen: Mapping[str, Sight]) -> bool:
        """Whether this is how its effect looks, by the kernel's counts and by what peers see."""
        raise NotImplementedError

    def refuse_when_struck(self, before: Mapping[str, Sight]) -> None:
        """`TargetNotReady` where it looks like this before anything was done."""

    @property
    def watch(self) -> Watch:
        """What the watcher beside each peer tries."""
        return Watch()

    def meanwhile(self, at: datetime) -> tuple[str, ...]:
        """What the helper in the target's namespace does while the fault is held, from *at* on."""
        del at
        return ("sleep", "infinity")

    def what_is_wrong(self) -> str | None:
        """Why what is asked for could not be told from outside; ``None`` where it can."""
        return None

    def prepare(self, system: System) -> Self:
        """All of them must run, and share a network; the effect must be one that can be seen."""
        wrong = self.what_is_wrong()
        if wrong:
            message = f"{self.kind} of {self.target}: {wrong}"
            raise UsageError(message)
        if not self.peers or self.target in self.peers:
            message = f"{self.kind} of {self.target} needs peers, and itself is none"
            raise UsageError(message)
        state = require_running(system, self.target, self.kind)
        links = tuple(links_between(system, self.target, self.peers, self.kind))
        return replace(self, links=links, life_before=life_of(state))

    def inject(self, system: System, at: datetime) -> datetime:
        """Place the helpers; the rules come into force at the instant."""
        chain.place_hand(system.runtime, self.target, self.tag, self.meanwhile(at))
        self.refuse_when_struck(begin_watch(system.runtime, self.tag, self.watched, self.watch))
        rules = [rule for peer in self._addresses() for rule in self.rules_about(peer)]
        return chain.apply(system.runtime, self.tag, self.place, rules, at)

    def observe(self, system: System) -> Witnessed:
        """Struck while the kernel counts and the peers see what this kind looks like."""
        runtime = system.runtime
        helpers = runtime.helpers(self.tag)
        if not self._is_alive(system):
            return Witnessed(struck=False, active=bool(helpers), seen={"restarted": True})
        if not helpers:
            is_there = chain.is_there(runtime, self.target, self.tag)
            return Witnessed(struck=False, active=is_there, seen={"rules": is_there})
        try:
            seen_by = sights(runtime, self.tag, self.watched)
            counted = chain.counted(runtime, self.tag, self.place)
        except (TargetError, FaultError) as error:  # not all are there, yet or any longer
            return Witnessed(struck=False, active=True, seen={"unseen": str(error)})
        seen: dict[str, Any] = {
            "dropped_packets": counted.dropped if counted else None,
            "packets": counted.passing if counted else None,
            **_by_what_was_seen(seen_by),
        }
        if counted is None or len(seen_by) < expected(self.watched):
            return Witnessed(struck=False, active=True, seen=seen)
        is_watched = self._are_peers_alive(system)
        struck = self.is_struck(counted, seen_by) and is_watched
        in_force = is_watched if self.lasts_unseen else None
        return Witnessed(struck, active=True, seen=seen, in_force=in_force)

    def heal(self, system: System) -> Mapping[str, Any]:
        """Remove the helpers first, so that no rule comes after; then the rules."""
        system.runtime.remove_helpers(self.tag)
        if not self._is_alive(system):
            return {}
        addresses = [*self._addresses()]
        reset = chain.remove(system.runtime, self.target, self.tag, addresses)
        return {"reset_connections": reset}

    @property
    def watched(self) -> tuple[Link, ...]:
        """The peers beside which a watcher is placed."""
        return self.links[:_WATCHED_PEERS]

    def _addresses(self) -> Iterator[str]:
        return (address for link in self.links for address in link.there)

    def _is_alive(self, system: System) -> bool:
        """The target is still in the life whose namespace has our rules."""
        state = system.runtime.state(self.target)
        return life_of(state) == self.life_before and state.status in {"running", "paused"}

    def _are_peers_alive(self, system: System) -> bool:
        return all(life_of(system.runtime.state(one.peer)) == one.life for one in self.watched)


def _by_what_was_seen(seen_by: Mapping[str, Sight]) -> dict[str, dict[str, Any]]:
    """For the evidence: each thing that attempts look for, by peer."""
    told: dict[str, dict[str, Any]] = {}
    for peer, sight in seen_by.items():
        for what, value in sight.items():
            told.setdefault(what, {})[peer] = value
    return told
