"""Which orders to misbehave are in force, what each has done so far, and how each ends.

An order ends when it is taken back, when its time is over, or with this process: nothing of it is
on disk, so an exchange that was restarted behaves. A tag is used once: an order that arrives after
it was taken back (its sender may be dead) is refused.
"""

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Literal, Protocol

from exchange.orders import Order

log = logging.getLogger(__name__)

# Of so many tags it is remembered that they are over.
_REMEMBERED = 256

COUNTS = (
    "frames_withheld",
    "connections_refused",
    "connections_closed",
    "frames_malformed",
    "trades_duplicated",
    "trades_reordered",
    "trades_delayed",
    "trades_added",
)


class TagUsedError(ValueError):
    """Another order has, or had, this tag."""


@dataclass(eq=False, slots=True)
class Fault:
    """An order in force, and how often it did what."""

    tag: str
    order: Order
    since_ms: int
    counts: Counter[str] = field(default_factory=Counter)
    chance: Random = field(default_factory=Random)
    ending: asyncio.TimerHandle | None = None

    def hits(self) -> bool:
        """Whether it hits the next frame; it always hits the first."""
        self.counts["looked_at"] += 1
        draw = self.chance.random() * 100
        return self.counts["looked_at"] == 1 or draw < self.order.amount

    def to_json(self) -> dict[str, object]:
        """Return what it is and what it did."""
        counts = {name: self.counts[name] for name in COUNTS if self.counts[name]}
        return {**self.order.to_json(), "since_ms": self.since_ms, "counts": counts}


class Actor(Protocol):
    """Whoever carries orders out."""

    def begin(self, fault: Fault) -> None:
        """Do what has to be done at once."""

    def end(self, fault: Fault) -> None:
        """Undo what the fault, no longer in force, left."""


class Faults:
    """The orders in force."""

    def __init__(self) -> None:
        """Begin with none."""
        self._in_force: dict[str, Fault] = {}
        self._ended: OrderedDict[str, dict[str, object]] = OrderedDict()
        self._actors: list[Actor] = []
        self._born_ms = _now_ms()
        self.counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        """Return whether any order is in force."""
        return bool(self._in_force)

    def tell(self, actor: Actor) -> None:
        """Let *actor* know of orders that begin and end."""
        self._actors.append(actor)

    def of(self, kind: str) -> Iterator[Fault]:
        """Yield the orders of *kind* in force, the oldest first."""
        return (fault for fault in self._in_force.values() if fault.order.kind == kind)

    def count(self, fault: Fault, what: str, number: int = 1) -> None:
        """Take note of what *fault* did."""
        fault.counts[what] += number
        self.counts[what] += number

    def place(self, tag: str, order: Order) -> None:
        """Put *order* in force; nothing happens where it is already.

        Raises:
            TagUsedError: The tag belongs to another order, or to one that is over.
        """
        present = self._in_force.get(tag)
        if present is not None and present.order == order:
            return
        if present is not None or tag in self._ended:
            message = f"tag {tag} is {'in use' if present else 'over'}; take another"
            raise TagUsedError(message)
        now_ms = _now_ms()
        fault = Fault(tag, order, now_ms, chance=Random(tag))  # noqa: S311 - repeatable on purpose
        left = (order.until_ms - now_ms) / 1000
        loop = asyncio.get_running_loop()
        fault.ending = loop.call_later(left, self._end, tag, "its time is over")
        self._in_force[tag] = fault
        log.warning("%s, %s: in force for %.1f s at most", tag, order.kind, left)
        for actor in self._actors:
            actor.begin(fault)

    def take_back(self, tag: str) -> None:
        """End the order *tag*; where there is none, none will be accepted any more."""
        if tag in self._in_force:
            self._end(tag, "taken back")
        elif tag not in self._ended:
            self._remember(tag, {"why": "taken back before it came"})

    def report(self) -> dict[str, object]:
        """Return all that is in force, what is over, and the counts since this process began."""
        return {
            "now_ms": _now_ms(),
            "born_ms": self._born_ms,
            "in_force": {tag: fault.to_json() for tag, fault in self._in_force.items()},
            "ended": dict(self._ended),
            "counts": {name: self.counts[name] for name in COUNTS},
        }

    def report_one(self, tag: str) -> dict[str, object] | None:
        """Return the order *tag*, and whether it is in force; `None` if it is not known."""
        if (fault := self._in_force.get(tag)) is not None:
            return {"in_force": True, **fault.to_json()}
        ended = self._ended.get(tag)
        return None if ended is None else {"in_force": False, **ended}

    def _end(self, tag: str, why: Literal["taken back", "its time is over"]) -> None:
        fault = self._in_force.pop(tag)
        if fault.ending is not None:
            fault.ending.cancel()
        for actor in self._actors:
            actor.end(fault)
        self._remember(tag, {"why": why, **fault.to_json()})
        log.warning("%s, %s: %s", tag, fault.order.kind, why)

    def _remember(self, tag: str, what: dict[str, object]) -> None:
        self._ended[tag] = what
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
