"""The target can resolve no name any more."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal, Self, get_args

from k2chaos.errors import TargetNotReady
from k2chaos.system.faults import System
from k2chaos.system.faults.network.chain import Counted
from k2chaos.system.faults.network.pair import Link, Sight, Watch, life_of
from k2chaos.system.faults.network.ruled import Ruled
from k2chaos.system.faults.process import require_running

Answer = Literal["error", "silence"]
ANSWERS: Final[tuple[str, ...]] = get_args(Answer)
RESOLVER: Final = "127.0.0.11"
"""Where the engine answers for names, in every container of a network that is not its default."""


@dataclass(frozen=True, slots=True)
class FailNames(Ruled):
    """
    The container resolves no names: neither those of its peers nor any other.

    Connections that are open go on; who connects anew cannot, but for what it finds in its own
    hosts file or has remembered. With ``error`` a question fails at once, with ``silence`` it takes
    the resolver's patience (some 10 seconds).

    Attributes:
        address: One of its own, whose name the witness asks for.

    Witness: a question for a name that a helper in the container's own namespace asks every second,
    which was answered before the injection and no longer is, while the kernel counts dropped
    packets.
    """

    kind: ClassVar[str] = "fail-names"
    does: ClassVar[str] = "let the container resolve no names"
    answer: Answer = "error"
    address: str = ""

    @property
    def watch(self) -> Watch:
        """Whose address is this? The engine knows the target's own."""
        return Watch("resolve", how={"of": self.address})

    def prepare(self, system: System) -> Self:
        """It must run, in a network whose names the engine knows."""
        state = require_running(system, self.target, self.kind)
        addresses = system.runtime.addresses(self.target)
        if not addresses:
            message = f"{self.kind} of {self.target} not begun: it is in no network"
            raise TargetNotReady(message)
        life = life_of(state)
        link = Link(self.target, life, (RESOLVER,), (RESOLVER,))
        address = next(iter(addresses.values()))
        return replace(self, links=(link,), life_before=life, address=address)

    def rules_about(self, peer: str) -> Iterator[str]:
        """Drop what goes to the resolver: as it leaves (an error), or as it arrives (silence)."""
        yield f"-d {peer} {'-o' if self.answer == 'error' else '-i'} lo -j DROP"

    def is_struck(self, counted: Counted, seen: Mapping[str, Sight]) -> bool:
        """Questions were dropped, and none was answered."""
        return counted.dropped > 0 and all(one["answered_ms"] is None for one in seen.values())
