"""Packets from the target to its peers are held back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from k2chaos.errors import TargetNotReady, UsageError
from k2chaos.system.faults import System
from k2chaos.system.faults.network.chain import Counted
from k2chaos.system.faults.network.ruled import Ruled

_LONGEST_MS: Final = 3000.0
"""The witness must see a round trip well within its own deadline."""


@dataclass(frozen=True, slots=True)
class DelayPackets(Ruled):
    """
    What the container sends to its peers arrives later: every round trip between them is longer.

    A helper in the target's namespace takes each packet from a queue of the kernel and lets it go
    on when its time has come. When the helper dies the queue is bypassed, and the fault is over.

    Witness: the round trip of a TCP attempt that each peer's own namespace makes every second is
    at least as long as asked (less the jitter), which before the injection it was not by half.

    Attributes:
        jitter_milliseconds: Each packet waits so much more or less, evenly spread.
    """

    kind: ClassVar[str] = "delay-packets"
    does: ClassVar[str] = "hold back the packets from the container to those of another role"
    patience_seconds: ClassVar[float] = 3.5
    milliseconds: float = 100.0
    jitter_milliseconds: float = 0.0

    @property
    def meanwhile(self) -> tuple[str, ...]:
        """Takes the packets of the queue and holds them back."""
        times = (str(self.milliseconds), str(self.jitter_milliseconds))
        return ("python3", "/opt/k2chaos/delay.py", str(self._queue), *times)

    def prepare(self, system: System) -> Self:
        """All of them must run, and share a network; the delay must be one that can be seen."""
        longest = self.milliseconds + self.jitter_milliseconds
        if self.jitter_milliseconds > self.milliseconds / 2 or longest > _LONGEST_MS:
            message = (
                f"{self.kind} by {self.milliseconds:g} ms: the jitter may be half of that, and "
                f"both together {_LONGEST_MS:g} ms, not {longest:g}"
            )
            raise UsageError(message)
        return Ruled.prepare(self, system)

    def rules_about(self, peer: str) -> Iterator[str]:
        """Queue what goes there; where nobody takes it from the queue it passes."""
        yield f"-d {peer} -j NFQUEUE --queue-num {self._queue} --queue-bypass"

    def refuse_when_struck(self, answered_ms: Mapping[str, float]) -> None:
        """The round trip must be clearly shorter before."""
        slow = [peer for peer, took in answered_ms.items() if took > self._least_ms / 2]
        if slow:
            message = (
                f"{self.kind} of {self.target} not begun: {', '.join(slow)} waited "
                f"{max(answered_ms.values()):g} ms for its answer already; ask for a longer delay"
            )
            raise TargetNotReady(message)

    def is_struck(self, counted: Counted, answered_ms: Mapping[str, float | None]) -> bool:
        """Packets went through the queue, and every round trip was as long as asked."""
        waited = (took is not None and took >= self._least_ms for took in answered_ms.values())
        return counted.passing > 0 and all(waited)

    @property
    def _least_ms(self) -> float:
        return self.milliseconds - self.jitter_milliseconds

    @property
    def _queue(self) -> int:
        """The kernel numbers queues with 16 bits."""
        return int(self.tag[:4], 16)
