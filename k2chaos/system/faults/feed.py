"""
Faults of the feed, and its burst: the simulated exchange misbehaves by order, over its control API.

Witness of all of them: the exchange's own counts of what it did to frames and connections, asked
anew each time; never the answer to the order. It counts only what met a subscriber, so a feed that
nobody listens to is not disturbed. An order has an end: it outlasts the holding, and ends by itself
where nobody is left to take it back. An exchange that was restarted knows of no order.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Self

from k2chaos.errors import StageError, TargetNotReady
from k2chaos.system.amounts import AMOUNTS, refuse_bad_amount
from k2chaos.system.exchange import ExchangeClient, Misbehaviour
from k2chaos.system.faults import System, Witnessed, new_tag
from k2chaos.system.runtime import Endpoint

FEED_LEAD_SECONDS: Final = 0.01
"""From the call to its effect, estimated: two requests (7 ms on the lab), and the next trade."""

_LONGEST_SECONDS: Final = 3600.0
"""The exchange accepts no order that lasts longer."""


@dataclass(frozen=True, slots=True)
class FeedFault:
    """
    What all kinds share; each of them only says which order it is and what the exchange counts.

    Attributes:
        longest_seconds: How long the order is in force if nobody takes it back.
        life_before: Which process of the exchange it was when the fault was prepared.
        counted_before: What that process had counted by then.
    """

    kind: ClassVar[str]
    stage: ClassVar[str] = "exchange"
    does: ClassVar[str]
    undone_by: ClassVar[str] = "take the order back"
    order: ClassVar[str]
    """What the exchange calls it."""
    counts: ClassVar[str]
    """What the exchange counts of it."""
    marks: ClassVar[tuple[str, str]] = ("", "")
    lead_seconds: ClassVar[float] = FEED_LEAD_SECONDS
    heal_lead_seconds: ClassVar[float] = 0.0

    target: Endpoint
    longest_seconds: float = field(default=120.0, kw_only=True)
    life_before: int = field(default=0, kw_only=True)
    counted_before: int = field(default=0, kw_only=True)
    tag: str = field(default_factory=new_tag, kw_only=True)

    @property
    def landing_seconds(self) -> float:
        """None: an order that arrives after it was taken back is refused."""
        return 0.0

    def prepare(self, system: System) -> Self:
        """The exchange must answer; its counts of now are what the witness compares with."""
        for name, value in self._amounts().items():
            refuse_bad_amount(name, value)
        with self._exchange(system) as exchange:
            before = exchange.misbehaviour()
        counted = before.counts.get(self.counts, 0)
        return replace(self, life_before=before.life, counted_before=counted)

    def inject(self, system: System, _at: datetime) -> None:
        """Give the order, with an end by the exchange's own clock."""
        longest = timedelta(seconds=min(self.longest_seconds, _LONGEST_SECONDS - 1))
        with self._exchange(system) as exchange:
            until = exchange.misbehaviour().now + longest
            exchange.place_order(self.tag, {"kind": self.order, **self._amounts()}, until)

    def observe(self, system: System) -> Witnessed:
        """Struck once the exchange counted an effect of this very order, which is in force."""
        try:
            with self._exchange(system) as exchange:
                now = exchange.misbehaviour()
        except TargetNotReady as error:
            # Down or blind: nothing is seen of the fault, and nothing says that it is gone.
            return Witnessed(struck=False, active=True, seen={"unreadable": str(error)})
        mine = now.in_force.get(self.tag)
        grown = now.counts.get(self.counts, 0)
        grown -= self.counted_before if now.life == self.life_before else 0
        seen: dict[str, Any] = {self.counts: grown, "in_force": mine is not None}
        if mine is None:
            seen["ended"] = self._why_ended(now)
            return Witnessed(struck=False, active=False, seen=seen)
        return Witnessed(grown > 0 and mine.get(self.counts, 0) > 0, active=True, seen=seen)

    def heal(self, system: System) -> None:
        """Take the order back, whether it is known there or not."""
        with self._exchange(system) as exchange:
            exchange.take_order_back(self.tag)

    def _amounts(self) -> dict[str, float]:
        """What of the order's parameters this kind has."""
        return {name: getattr(self, name) for name in AMOUNTS if hasattr(self, name)}

    def _why_ended(self, now: Misbehaviour) -> str:
        if now.life != self.life_before:
            return "the exchange was restarted"
        return now.ended.get(self.tag, "the exchange does not know of it")

    @contextlib.contextmanager
    def _exchange(self, system: System) -> Iterator[ExchangeClient]:
        """The control API; what it cannot say is `TargetNotReady`."""
        exchange = system.endpoints.exchange()
        try:
            yield exchange
        except StageError as error:
            message = f"{self.kind}: {self.target} cannot be asked: {error}"
            raise TargetNotReady(message) from error
        finally:
            exchange.close()


@dataclass(frozen=True, slots=True)
class StallFeed(FeedFault):
    """
    Connections stay open and answer pings, and no trade comes: what is traded meanwhile is lost to
    the stream, and only the exchange's history has it.

    Witness: the exchange counts the frames it withheld. Gone when the order is not in force.
    """

    kind: ClassVar[str] = "stall-feed"
    does: ClassVar[str] = "keep connections open and send no trade"
    order: ClassVar[str] = "stall"
    counts: ClassVar[str] = "frames_withheld"


@dataclass(frozen=True, slots=True)
class RefuseConnections(FeedFault):
    """
    Whoever is connected is sent away, and nobody is let in; the history goes on answering.

    Witness: the exchange counts whom it refused, so somebody must have tried. Gone when the order
    is not in force.
    """

    kind: ClassVar[str] = "refuse-connections"
    does: ClassVar[str] = "close every connection and refuse new ones"
    order: ClassVar[str] = "refuse"
    counts: ClassVar[str] = "connections_refused"


@dataclass(frozen=True, slots=True)
class DisconnectSubscribers(FeedFault):
    """
    Every open connection is closed, once; who comes back is let in.

    Witness: the exchange counts the connections it closed. Nothing has to be undone.
    """

    kind: ClassVar[str] = "disconnect-subscribers"
    does: ClassVar[str] = "close every connection once"
    undone_by: ClassVar[str] = "nothing to undo; subscribers come back by themselves"
    order: ClassVar[str] = "disconnect"
    counts: ClassVar[str] = "connections_closed"


@dataclass(frozen=True, slots=True)
class DisconnectStorm(FeedFault):
    """
    Every open connection is closed again and again.

    Witness: the exchange counts the connections it closed. Gone when the order is not in force.
    """

    kind: ClassVar[str] = "disconnect-storm"
    does: ClassVar[str] = "close every connection again and again"
    order: ClassVar[str] = "disconnect_storm"
    counts: ClassVar[str] = "connections_closed"
    every_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class MalformFrames(FeedFault):
    """
    A share of the frames are no trades: cut short, empty, of the wrong types.

    Witness: the exchange counts the frames it broke. Gone when the order is not in force.
    """

    kind: ClassVar[str] = "malform-frames"
    does: ClassVar[str] = "break a share of the frames"
    order: ClassVar[str] = "malformed"
    counts: ClassVar[str] = "frames_malformed"
    percent: float = 10.0


@dataclass(frozen=True, slots=True)
class DuplicateTrades(FeedFault):
    """
    A share of the trades comes twice.

    Witness: the exchange counts the trades it sent twice. Gone when the order is not in force.
    """

    kind: ClassVar[str] = "duplicate-trades"
    does: ClassVar[str] = "send a share of the trades twice"
    order: ClassVar[str] = "duplicate"
    counts: ClassVar[str] = "trades_duplicated"
    percent: float = 10.0


@dataclass(frozen=True, slots=True)
class ReorderTrades(FeedFault):
    """
    A share of the trades comes after the next one of the same key.

    Witness: the exchange counts the trades it swapped. Gone when the order is not in force; what
    it held back at that moment is sent.
    """

    kind: ClassVar[str] = "reorder-trades"
    does: ClassVar[str] = "swap a share of the trades with the next one"
    order: ClassVar[str] = "reorder"
    counts: ClassVar[str] = "trades_reordered"
    percent: float = 10.0


@dataclass(frozen=True, slots=True)
class DelayTrades(FeedFault):
    """
    Every trade comes late, in order, its event time unchanged.

    Witness: the exchange counts the trades it held back. Gone when the order is not in force; what
    it holds at that moment is sent.
    """

    kind: ClassVar[str] = "delay-trades"
    does: ClassVar[str] = "send every trade late"
    order: ClassVar[str] = "delay"
    counts: ClassVar[str] = "trades_delayed"
    milliseconds: float = 1000.0


@dataclass(frozen=True, slots=True)
class Burst(FeedFault):
    """
    The exchange trades a multiple of its rate: an injection, for what was traded stays.

    Witness: the exchange counts the trades beyond its plain rate. Over when the order is not in
    force; the plain rate never changed.
    """

    kind: ClassVar[str] = "burst"
    does: ClassVar[str] = "trade a multiple of the rate"
    undone_by: ClassVar[str] = "take the order back; what was traded stays"
    order: ClassVar[str] = "burst"
    counts: ClassVar[str] = "trades_added"
    factor: float = 10.0


FEED_FAULTS: Final[tuple[type[FeedFault], ...]] = (
    StallFeed,
    RefuseConnections,
    DisconnectSubscribers,
    DisconnectStorm,
    MalformFrames,
    DuplicateTrades,
    ReorderTrades,
    DelayTrades,
)
