"""What all network faults share whose packets a helper takes from a queue of the kernel."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from k2chaos.errors import TargetNotReady
from k2chaos.system.faults.network.pair import Sight
from k2chaos.system.faults.network.ruled import Ruled

_AS_THEY_COME: Final[Mapping[str, float]] = {
    "delay_ms": 0.0, "jitter_ms": 0.0, "late": 0.0, "twice": 0.0, "bytes_per_second": 0.0,
}  # fmt: skip
"""What a packet meets of which nothing is asked."""
_FIRST_MARK: Final = 1 << 24
"""Marks of packets have 32 bits; the low ones are often used by others."""


@dataclass(frozen=True, slots=True)
class Queued(Ruled):
    """
    What the container sends to its peers passes a queue, and a helper that decides on each packet.

    The helper is in the target's namespace; when it dies the queue is bypassed, and the fault is
    over. Each kind has a hook of the packet filter to itself, because a packet that comes back
    from a queue skips the rules behind it.
    """

    kind: ClassVar[str] = ""
    lasts_unseen: ClassVar[bool] = True
    """On a busy line, or one that something else has cut, an attempt may see nothing of it."""

    @property
    def asked(self) -> Mapping[str, float]:
        """What is done to packets, in the words of ``helper/hold_back.py``; the rest passes."""
        raise NotImplementedError

    def meanwhile(self, at: datetime) -> tuple[str, ...]:
        """Takes the packets of the queue and decides on them."""
        del at
        asked = json.dumps({**_AS_THEY_COME, **self.asked})
        # A copy carries a bit for each stage that it has behind it.
        mark = sum(_FIRST_MARK << stage for stage in range(1, self.place.stage + 1))
        return ("python3", "/opt/k2chaos/hold_back.py", str(self.queue), str(mark), asked)

    def rules_about(self, peer: str) -> Iterator[str]:
        """Queue what goes there, but for copies of this stage; with no helper it passes."""
        bit = _FIRST_MARK << self.place.stage
        yield f"-d {peer} -m mark --mark {bit:#x}/{bit:#x} -j RETURN"
        yield f"-d {peer} -j NFQUEUE --queue-num {self.queue} --queue-bypass"

    @property
    def queue(self) -> int:
        """The kernel numbers queues with 16 bits."""
        return int(self.tag[:4], 16)

    def refuse_like_this(self, alike: Mapping[str, bool], before: Mapping[str, Sight]) -> None:
        """
        Check that no peer saw before what the fault will be told by.

        Raises:
            TargetNotReady: One did.
        """
        there = [peer for peer, is_alike in alike.items() if is_alike]
        if there:
            message = (
                f"{self.kind} of {self.target} not begun, because nobody could tell it apart: "
                f"{', '.join(there)} saw the like of it already ({dict(before[there[0]])}); "
                "ask for more, or end what does it"
            )
            raise TargetNotReady(message)
