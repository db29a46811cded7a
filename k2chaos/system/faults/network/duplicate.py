"""Some of the packets from the target to its peers are sent twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from k2chaos.system.faults.network.chain import DUPLICATES, Counted, Place
from k2chaos.system.faults.network.delay import LEAST_PERCENT, pings_for
from k2chaos.system.faults.network.pair import Sight, Watch
from k2chaos.system.faults.network.queued import Queued


def what_is_wrong_with_share(percent: float) -> str | None:
    """Why so few packets that come twice cannot be told from outside; ``None`` where they can."""
    if percent >= LEAST_PERCENT:
        return None
    return f"percent must be at least {LEAST_PERCENT:g}, not {percent:g}: nobody could tell"


@dataclass(frozen=True, slots=True)
class DuplicatePackets(Queued):
    """
    Some of what the container sends to its peers arrives there twice.

    TCP throws the second one away; what speaks UDP sees it.

    Witness: of the pings that each peer's own namespace sends every second some are answered twice,
    which before the injection none was.
    """

    kind: ClassVar[str] = "duplicate-packets"
    does: ClassVar[str] = "send some packets from the container to those of another role twice"
    place: ClassVar[Place] = DUPLICATES
    percent: float = 25.0

    @property
    def asked(self) -> Mapping[str, float]:
        """A share of them is sent twice."""
        return {"twice": self.percent / 100}

    @property
    def watch(self) -> Watch:
        """Enough pings that some come twice."""
        return pings_for(self.percent)

    def what_is_wrong(self) -> str | None:
        """Enough must come twice to be seen."""
        return what_is_wrong_with_share(self.percent)

    def refuse_when_struck(self, before: Mapping[str, Sight]) -> None:
        """Each must come once before."""
        self.refuse_like_this({peer: one["twice"] > 0 for peer, one in before.items()}, before)

    def is_struck(self, counted: Counted, seen: Mapping[str, Sight]) -> bool:
        """Packets went through the queue, and each peer saw some twice."""
        return counted.passing > 0 and all(one["twice"] > 0 for one in seen.values())
