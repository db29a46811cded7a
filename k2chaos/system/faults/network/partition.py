"""Partitions: packets between the target and its peers are dropped."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, get_args

from k2chaos.system.faults.network.chain import Counted
from k2chaos.system.faults.network.pair import Sight
from k2chaos.system.faults.network.ruled import Ruled

Direction = Literal["both", "out", "in"]
DIRECTIONS: Final[tuple[str, ...]] = get_args(Direction)


@dataclass(frozen=True, slots=True)
class Partition(Ruled):
    """
    Packets between the container and its peers vanish: no reset, no answer, only silence.

    Connections stay open on both ends until somebody's patience is over; everybody else, and the
    host, still reaches the container. ``out`` drops what it sends to the peers, ``in`` what they
    send to it.

    Witness: a TCP attempt that each peer's own namespace makes every second, which was answered
    before the injection and no longer is, while the kernel counts dropped packets.
    """

    kind: ClassVar[str] = "partition"
    does: ClassVar[str] = "drop the packets between the container and those of another role"
    direction: Direction = "both"

    def rules_about(self, peer: str) -> Iterator[str]:
        """Drop them, on the way out, in, or both."""
        if self.direction != "in":
            yield f"-d {peer} -j DROP"
        if self.direction != "out":
            yield f"-s {peer} -j DROP"

    def is_struck(self, counted: Counted, seen: Mapping[str, Sight]) -> bool:
        """Packets were dropped, and no peer is answered."""
        return counted.dropped > 0 and all(one["answered_ms"] is None for one in seen.values())


@dataclass(frozen=True, slots=True)
class Isolate(Partition):
    """
    The container is cut off from every other container of its project, but not from the host.

    Witness: as of a partition; beside three of the peers, the others by the kernel's count alone.
    """

    kind: ClassVar[str] = "isolate"
    does: ClassVar[str] = "drop the packets between the container and all others of the project"
