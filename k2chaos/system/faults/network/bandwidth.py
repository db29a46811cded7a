"""What the target sends to its peers goes no faster than so many bytes a second."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from k2chaos.system.faults.network.chain import SHAPES, Counted, Place
from k2chaos.system.faults.network.pair import Sight, Watch
from k2chaos.system.faults.network.queued import Queued

_BYTES_PER_KBIT: Final = 125
_TAKEN: Final = 0.03
"""The share of a second's bytes that a watcher takes for itself."""
_FEWEST_PINGS: Final = 5
_PING_BYTES: Final = (64, 1400)
_TOLERANCE: Final = 1.25
"""How much faster it may look from outside: a few pings are no exact clock."""


@dataclass(frozen=True, slots=True)
class LimitBandwidth(Queued):
    """
    What the container sends to its peers goes on at a limited rate; what waits too long is lost.

    The limit is on all peers together, in bytes of IP packets. Up to a second's worth waits.

    Witness: a burst of pings that each peer's own namespace sends every second is answered no
    faster than the limit (25 % for the clock), and before the injection was at twice that.
    """

    kind: ClassVar[str] = "limit-bandwidth"
    does: ClassVar[str] = "slow down what the container sends to those of another role"
    place: ClassVar[Place] = SHAPES
    kbit_per_second: float = 1000.0

    @property
    def asked(self) -> Mapping[str, float]:
        """All of them share the rate."""
        return {"bytes_per_second": self._bytes_per_second}

    @property
    def watch(self) -> Watch:
        """A burst of a small part of what may pass in a second."""
        taken = self._bytes_per_second * _TAKEN
        least, most = _PING_BYTES
        size = min(most, max(least, int(taken / _FEWEST_PINGS)))
        count = max(_FEWEST_PINGS, round(taken / size))
        return Watch("ping", patience_seconds=2.0, how={"count": count, "size_bytes": size})

    def refuse_when_struck(self, before: Mapping[str, Sight]) -> None:
        """It must be clearly faster before."""
        slow = {
            peer: not one["bytes_per_second"]
            or one["bytes_per_second"] < 2 * self._bytes_per_second
            for peer, one in before.items()
        }
        self.refuse_like_this(slow, before)

    def is_struck(self, counted: Counted, seen: Mapping[str, Sight]) -> bool:
        """Packets went through the queue, and each peer was answered, and no faster."""
        rates = [one["bytes_per_second"] for one in seen.values()]
        most = self._bytes_per_second * _TOLERANCE
        return counted.passing > 0 and all(rate is not None and rate <= most for rate in rates)

    @property
    def _bytes_per_second(self) -> float:
        return self.kbit_per_second * _BYTES_PER_KBIT
