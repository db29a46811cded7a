"""What all network faults share that are rules in the target's packet filter."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Final, Self

from k2chaos.errors import TargetError, UsageError
from k2chaos.system.faults import System, Witnessed, new_tag
from k2chaos.system.faults.network import chain
from k2chaos.system.faults.network.chain import Counted
from k2chaos.system.faults.network.pair import Link, answers, begin_watch, life_of, links_between
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
    patience_seconds: ClassVar[float] = 0.8
    """For how long a watcher's attempt waits before it counts as silence."""
    probes: ClassVar[int] = 0
    """How many packets a second each watcher sends beside its attempts."""
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

    def is_struck(self, counted: Counted, answered_ms: Mapping[str, float | None]) -> bool:
        """Whether this is how its effect looks, by the kernel's counts and by what peers see."""
        raise NotImplementedError

    def refuse_when_struck(self, answered_ms: Mapping[str, float]) -> None:
        """`TargetNotReady` where it looks like this before anything was done."""

    @property
    def meanwhile(self) -> tuple[str, ...]:
        """What the helper in the target's namespace does while the fault is held."""
        return ("sleep", "infinity")

    def prepare(self, system: System) -> Self:
        """All of them must run, and share a network."""
        if not self.peers or self.target in self.peers:
            message = f"{self.kind} of {self.target} needs peers, and itself is none"
            raise UsageError(message)
        state = require_running(system, self.target, self.kind)
        links = tuple(links_between(system, self.target, self.peers, self.kind))
        return replace(self, links=links, life_before=life_of(state))

    def inject(self, system: System, at: datetime) -> datetime:
        """Place the helpers; the rules come into force at the instant."""
        chain.place_hand(system.runtime, self.target, self.tag, self.meanwhile)
        before = begin_watch(
            system.runtime, self.tag, self.watched, self.patience_seconds, self.probes
        )
        self.refuse_when_struck(before)
        rules = [rule for peer in self._addresses() for rule in self.rules_about(peer)]
        return chain.apply(system.runtime, self.tag, rules, at)

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
            answered_ms = answers(runtime, self.tag, self.watched)
            counted = chain.counted(runtime, self.tag)
        except TargetError as error:  # not all of them are there, yet or any longer
            return Witnessed(struck=False, active=True, seen={"unseen": str(error)})
        seen: dict[str, Any] = {
            "dropped_packets": counted.dropped if counted else None,
            "packets": counted.passing if counted else None,
            "answered_ms": answered_ms,
        }
        if counted is None or len(answered_ms) < len(self.watched):
            return Witnessed(struck=False, active=True, seen=seen)
        struck = self.is_struck(counted, answered_ms) and self._are_peers_alive(system)
        return Witnessed(struck, active=True, seen=seen)

    def heal(self, system: System) -> None:
        """Remove the helpers first, so that no rule comes after; then the rules."""
        system.runtime.remove_helpers(self.tag)
        if self._is_alive(system):
            chain.remove(system.runtime, self.target, self.tag, [*self._addresses()])

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
