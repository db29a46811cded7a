"""Packets from the target to its peers are held back: all of them, or some, which others pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from k2chaos.system.faults.network.chain import DELAYS, REORDERS, Counted, Place
from k2chaos.system.faults.network.pair import EXPECTED, Sight, Watch, enough_for
from k2chaos.system.faults.network.queued import Queued

_LONGEST_MS: Final = 3000.0
"""The witness must see a round trip well within its own deadline."""
_PING_BYTES: Final = 64
_PING_GAP_MS: Final = 1.0
_MOST_PINGS: Final = 500
"""More would take longer than a round of a watcher may."""
LEAST_PERCENT: Final = EXPECTED * 100 / _MOST_PINGS
_MOST_PERCENT: Final = 90.0
"""Where all are held back, nothing overtakes."""


def pings_for(percent: float, gap_ms: float = 0.0) -> Watch:
    """A watch by enough pings that some meet what happens to *percent* of them."""
    count = min(_MOST_PINGS, max(2 * EXPECTED, enough_for(percent)))
    return Watch("ping", how={"count": count, "size_bytes": _PING_BYTES, "gap_ms": gap_ms})


def what_is_wrong_with_delay(milliseconds: float, jitter_milliseconds: float) -> str | None:
    """Why a delay cannot be told from outside; ``None`` where it can."""
    longest = milliseconds + jitter_milliseconds
    if jitter_milliseconds <= milliseconds / 2 and longest <= _LONGEST_MS:
        return None
    return (
        f"of a delay by {milliseconds:g} ms the jitter may be half, and both together "
        f"{_LONGEST_MS:g} ms, not {longest:g}: nobody could tell"
    )


def what_is_wrong_with_order(percent: float, milliseconds: float) -> str | None:
    """Why packets out of order cannot be told from outside; ``None`` where they can."""
    if not LEAST_PERCENT <= percent <= _MOST_PERCENT:
        least = f"{LEAST_PERCENT:g} to {_MOST_PERCENT:g}"
        return f"percent must be from {least}, not {percent:g}: nobody could tell"
    if 2 * _PING_GAP_MS < milliseconds <= _LONGEST_MS:
        return None
    bounds = f"more than {2 * _PING_GAP_MS:g} and at most {_LONGEST_MS:g}"
    return f"milliseconds must be {bounds}, not {milliseconds:g}: nobody could tell"


@dataclass(frozen=True, slots=True)
class DelayPackets(Queued):
    """
    What the container sends to its peers arrives later: every round trip between them is longer.

    Witness: the round trip of a TCP attempt that each peer's own namespace makes every second is
    at least as long as asked (less the jitter), which before the injection it was not by half.

    Attributes:
        jitter_milliseconds: Each packet waits so much more or less, evenly spread.
    """

    kind: ClassVar[str] = "delay-packets"
    does: ClassVar[str] = "hold back the packets from the container to those of another role"
    place: ClassVar[Place] = DELAYS
    milliseconds: float = 100.0
    jitter_milliseconds: float = 0.0

    @property
    def asked(self) -> Mapping[str, float]:
        """All of them are late."""
        return {
            "delay_ms": self.milliseconds,
            "jitter_ms": self.jitter_milliseconds,
            "late": 1.0,
        }

    @property
    def watch(self) -> Watch:
        """The watcher waits for longer than any delay."""
        return Watch(patience_seconds=3.5)

    def what_is_wrong(self) -> str | None:
        """The round trip must end while the watcher waits, and differ from none."""
        return what_is_wrong_with_delay(self.milliseconds, self.jitter_milliseconds)

    def refuse_when_struck(self, before: Mapping[str, Sight]) -> None:
        """The round trip must be clearly shorter before."""
        slow = {peer: one["answered_ms"] > self._least_ms / 2 for peer, one in before.items()}
        self.refuse_like_this(slow, before)

    def is_struck(self, counted: Counted, seen: Mapping[str, Sight]) -> bool:
        """Packets went through the queue, and every round trip was as long as asked."""
        took = [one["answered_ms"] for one in seen.values()]
        return counted.passing > 0 and all(ms is not None and ms >= self._least_ms for ms in took)

    @property
    def _least_ms(self) -> float:
        return self.milliseconds - self.jitter_milliseconds


@dataclass(frozen=True, slots=True)
class ReorderPackets(Queued):
    """
    Some of what the container sends to its peers is held back, and overtaken by what follows.

    Witness: of the pings that each peer's own namespace sends every second, a millisecond apart,
    some are answered after later ones, which before the injection none was.
    """

    kind: ClassVar[str] = "reorder-packets"
    does: ClassVar[str] = "let packets from the container to another role's overtake each other"
    place: ClassVar[Place] = REORDERS
    percent: float = 25.0
    milliseconds: float = 20.0

    @property
    def asked(self) -> Mapping[str, float]:
        """A share of them is late."""
        return {"delay_ms": self.milliseconds, "late": self.percent / 100}

    @property
    def watch(self) -> Watch:
        """Pings close enough to each other that one can pass another: one late, the next not."""
        pairs = self.percent * (100 - self.percent) / 100
        return pings_for(pairs, _PING_GAP_MS)

    def what_is_wrong(self) -> str | None:
        """Some must pass others."""
        return what_is_wrong_with_order(self.percent, self.milliseconds)

    def refuse_when_struck(self, before: Mapping[str, Sight]) -> None:
        """They must be in order before."""
        self.refuse_like_this({peer: one["overtaken"] > 0 for peer, one in before.items()}, before)

    def is_struck(self, counted: Counted, seen: Mapping[str, Sight]) -> bool:
        """Packets went through the queue, and each peer saw some overtaken."""
        return counted.passing > 0 and all(one["overtaken"] > 0 for one in seen.values())
