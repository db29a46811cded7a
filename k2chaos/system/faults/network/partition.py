"""A partition: packets between the target and its peers are dropped."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Final, Literal, Self, get_args

from k2chaos.errors import TargetError, UsageError
from k2chaos.system.faults import System, Witnessed, new_tag
from k2chaos.system.faults.network import chain
from k2chaos.system.faults.network.pair import Link, answers, begin_watch, life_of, links_between
from k2chaos.system.faults.process import LANDING_SECONDS, require_running
from k2chaos.system.runtime import Container

Direction = Literal["both", "out", "in"]
DIRECTIONS: Final[tuple[str, ...]] = get_args(Direction)
LEAD_SECONDS: Final = 3.0
"""A helper at each end has to be started before the rules' instant."""


@dataclass(frozen=True, slots=True)
class Partition:
    """
    Packets between the container and its peers vanish: no reset, no answer, only silence.

    Connections stay open on both ends until somebody's patience is over; everybody else, and the
    host, still reaches the container. ``out`` drops what it sends to the peers, ``in`` what they
    send to it.

    Witness: a TCP attempt that each peer's own namespace makes every second, which was answered
    before the injection and no longer is, while the kernel counts dropped packets. Healed by
    removing the fault's own rules; then the pair's connections are reset once, so that recovery is
    the pipeline's and not TCP's back-off. Gone when a fresh look finds no rule of this fault, or
    the container was restarted or re-created (rules die with its network namespace). When a peer
    was restarted nobody watches any longer: the fault counts as ended early, and is healed.
    """

    kind: ClassVar[str] = "partition"
    does: ClassVar[str] = "drop the packets between the container and those of another role"
    undone_by: ClassVar[str] = "remove the rules, reset the pair's connections once"
    target: Container
    peers: tuple[Container, ...] = ()
    direction: Direction = "both"
    links: tuple[Link, ...] = ()
    life_before: str = ""
    tag: str = field(default_factory=new_tag)
    marks: ClassVar[tuple[str, str]] = ("", "")
    lead_seconds: ClassVar[float] = LEAD_SECONDS

    @property
    def landing_seconds(self) -> float:
        """The helper's wait for the instant, and what the engine may take over a request."""
        return LEAD_SECONDS + LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """All of them must run, and share a network."""
        if not self.peers or self.target in self.peers:
            message = f"{self.kind} of {self.target} needs peers, and itself is none"
            raise UsageError(message)
        state = require_running(system, self.target, self.kind)
        links = tuple(links_between(system, self.target, self.peers, self.kind))
        return replace(self, links=links, life_before=life_of(state))

    def inject(self, system: System, at: datetime) -> datetime:
        """Place the helpers, then drop packets from the instant on."""
        chain.place_hand(system.runtime, self.target, self.tag)
        begin_watch(system.runtime, self.tag, self.links)
        return chain.apply(system.runtime, self.tag, [*self._rules()], at)

    def observe(self, system: System) -> Witnessed:
        """Struck while no peer is answered and packets were dropped."""
        runtime = system.runtime
        helpers = runtime.helpers(self.tag)
        if not self._is_alive(system):
            return Witnessed(struck=False, active=bool(helpers), seen={"restarted": True})
        if not helpers:
            is_there = chain.is_there(runtime, self.target, self.tag)
            return Witnessed(struck=False, active=is_there, seen={"rules": is_there})
        try:
            answered = answers(runtime, self.tag, self.links)
            dropped = chain.matched(runtime, self.tag)
        except TargetError as error:  # not all of them are there, yet or any longer
            return Witnessed(struck=False, active=True, seen={"unseen": str(error)})
        is_cut = all(one is False for one in answered.values()) and self._are_peers_alive(system)
        seen = {"dropped_packets": dropped, "answered": answered}
        return Witnessed(bool(dropped) and is_cut, active=True, seen=seen)

    def heal(self, system: System) -> None:
        """Remove the helpers first, so that no rule comes after; then the rules."""
        system.runtime.remove_helpers(self.tag)
        if self._is_alive(system):
            peers = [address for link in self.links for address in link.there]
            chain.remove(system.runtime, self.target, self.tag, peers)

    def _rules(self) -> Iterator[str]:
        for address in (address for link in self.links for address in link.there):
            if self.direction != "in":
                yield f"-d {address} -j DROP"
            if self.direction != "out":
                yield f"-s {address} -j DROP"

    def _is_alive(self, system: System) -> bool:
        """The target is still in the life whose namespace has our rules."""
        state = system.runtime.state(self.target)
        return life_of(state) == self.life_before and state.status in {"running", "paused"}

    def _are_peers_alive(self, system: System) -> bool:
        return all(life_of(system.runtime.state(one.peer)) == one.life for one in self.links)
