"""Connections between the target and its peers are reset, or fall silent once they are open."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from k2chaos.system.faults.network.chain import Counted
from k2chaos.system.faults.network.pair import Sight, Watch
from k2chaos.system.faults.network.ruled import Ruled

_FIRST_PORT: Final = 20_000
_PORTS: Final = 10_000
"""Of the echo service beside the target: below what kernels give to clients (32,768 and up)."""
_LATE_SECONDS: Final = 2.0
"""A watcher looks each second, and is looked at half a second later."""
_LARGEST_BARE_BYTES: Final = 119
"""IP and TCP headers with all their options; a longer packet has data."""


def echo_port(tag: str) -> int:
    """Where the helper in the target's namespace gives back what it is sent."""
    return _FIRST_PORT + int(tag, 16) % _PORTS


@dataclass(frozen=True, slots=True)
class ResetConnections(Ruled):
    """
    Every TCP connection between the container and its peers is reset, again and again.

    Both ends get an error and may connect anew at once. This is what a firewall or a load balancer
    does that forgets its connections. The kernel ends them (``ss -K``) as if the process had.

    Witness: a connection that each peer's own namespace keeps to a helper beside the target is
    reset as often as asked, and the kernel counts resets that went out.
    """

    kind: ClassVar[str] = "reset-connections"
    does: ClassVar[str] = "reset all connections between the container and those of another role"
    every_seconds: float = 1.0

    @property
    def watch(self) -> Watch:
        """A connection that is kept."""
        return Watch("keep", how={"port": echo_port(self.tag)})

    def meanwhile(self, at: datetime) -> tuple[str, ...]:
        """Resets them from the instant on."""
        when = (str(at.timestamp()), str(self.every_seconds))
        addresses = (address for link in self.links for address in link.there)
        return ("python3", "/opt/k2chaos/reset.py", str(echo_port(self.tag)), *when, *addresses)

    def rules_about(self, peer: str) -> Iterator[str]:
        """Count the resets that go there."""
        yield f"-d {peer} -p tcp -m tcp --tcp-flags RST RST"

    def is_struck(self, counted: Counted, seen: Mapping[str, Sight]) -> bool:
        """Resets went out, and each peer's connection met one of late."""
        ago = [one["reset_seconds_ago"] for one in seen.values()]
        latest = self.every_seconds + _LATE_SECONDS
        return counted.passing > 0 and all(one is not None and one <= latest for one in ago)


@dataclass(frozen=True, slots=True)
class BlackHole(Ruled):
    """
    Connections between the container and its peers are accepted, and then nothing comes.

    TCP packets with data vanish on either way; those that open, close and keep alive pass. This is
    what a process that hangs, or a wrong packet size on the way, looks like.

    Witness: a connection that each peer's own namespace opens to a helper beside the target every
    second is accepted, and what is said over it is not answered; before the injection it was. The
    kernel counts dropped packets.
    """

    kind: ClassVar[str] = "black-hole"
    does: ClassVar[str] = "drop what is said over connections between the container and another's"

    @property
    def watch(self) -> Watch:
        """A connection that is opened, and something said over it."""
        return Watch("echo", how={"port": echo_port(self.tag)})

    def meanwhile(self, at: datetime) -> tuple[str, ...]:
        """Gives back what it is sent."""
        del at
        return ("python3", "/opt/k2chaos/echo.py", str(echo_port(self.tag)))

    def rules_about(self, peer: str) -> Iterator[str]:
        """Drop what has data: it is pushed, or longer than headers are."""
        for way in ("-d", "-s"):
            yield f"{way} {peer} -p tcp -m tcp --tcp-flags PSH PSH -j DROP"
            yield f"{way} {peer} -p tcp -m length --length {_LARGEST_BARE_BYTES + 1}:65535 -j DROP"

    def is_struck(self, counted: Counted, seen: Mapping[str, Sight]) -> bool:
        """Packets were dropped, and each peer was accepted and not answered."""
        return counted.dropped > 0 and all(
            one["accepted_ms"] is not None and one["answered_ms"] is None for one in seen.values()
        )
