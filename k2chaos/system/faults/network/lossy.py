"""Some of the packets between the target and its peers are dropped."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from k2chaos.system.faults.network.chain import Counted
from k2chaos.system.faults.network.pair import Sight, Watch, enough_for
from k2chaos.system.faults.network.ruled import Ruled

_FEWEST_PROBES: Final = 1000
_LARGEST_ERROR: Final = 6.0
"""In standard deviations of a binomial distribution: chance alone goes beyond it once in 10^9."""
_UNCOUNTED: Final = 10
"""Packets that may pass between the reading of one counter and of the next."""


@dataclass(frozen=True, slots=True)
class LosePackets(Ruled):
    """
    Each packet between the container and its peers is lost with a chance, on either way.

    Witness: the kernel counts dropped packets among those that came, and their share is the one
    that was asked, as far as chance allows. So that there are enough, each peer's own namespace
    sends a thousand a second or more to a port that nobody listens on.
    """

    kind: ClassVar[str] = "lose-packets"
    does: ClassVar[str] = "drop a share of the packets between the container and another role's"
    percent: float = 10.0

    @property
    def watch(self) -> Watch:
        """Packets of its own are sent beside."""
        return Watch(how={"datagrams": max(_FEWEST_PROBES, enough_for(self.percent))})

    def rules_about(self, peer: str) -> Iterator[str]:
        """Count all, drop some."""
        for way in (f"-d {peer}", f"-s {peer}"):
            yield way
            yield f"{way} -m statistic --mode random --probability {self.percent / 100:.6f} -j DROP"

    def is_struck(self, counted: Counted, seen: Mapping[str, Sight]) -> bool:
        """As many were dropped as chance may have it, whatever a peer's single attempt met."""
        del seen
        share, came = self.percent / 100, counted.passing
        expected, spread = came * share, math.sqrt(came * share * (1 - share))
        is_likely = abs(counted.dropped - expected) <= _LARGEST_ERROR * spread + _UNCOUNTED
        return counted.dropped > 0 and is_likely
