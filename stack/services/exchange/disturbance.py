"""What orders do to frames, on their way from the market to the subscribers.

Frames of one symbol pass the stages in a fixed order, whatever was ordered first: trades are
swapped before they are doubled, or some would be swapped with themselves. What a stage held back
enters the next one when it is let go, and an order that ends lets go of all it holds.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable

from exchange.faults import Fault, Faults

Frames = list[bytes]
_STAGES = ("reorder", "duplicate", "malformed", "delay", "stall")
_AFTER_REORDER, _AFTER_DELAY = _STAGES.index("duplicate"), _STAGES.index("stall")


class Disturbance:
    """Carries out the orders that concern frames; messages are taken and given without a frame."""

    def __init__(self, faults: Faults, deliver: Callable[[str, Frames], None]) -> None:
        """Do as *faults* say, and hand what is left of a symbol's messages to *deliver*."""
        self._faults = faults
        self._deliver = deliver
        self._apply = {
            "malformed": self._break,
            "duplicate": self._double,
            "reorder": self._swap,
            "delay": self._delay,
            "stall": self._withhold,
        }
        self._swapping: dict[Fault, dict[str, bytes]] = {}
        self._late: deque[tuple[float, str, Frames]] = deque()
        faults.tell(self)

    def pass_on(self, symbol: str, messages: Frames, stage: int = 0) -> None:
        """Send *messages* through the stages from *stage* on."""
        for kind in _STAGES[stage:]:
            for fault in self._faults.of(kind):
                messages = self._apply[kind](fault, symbol, messages)
        if messages:
            self._deliver(symbol, messages)

    def begin(self, fault: Fault) -> None:
        """Nothing happens before the next trade."""

    def end(self, fault: Fault) -> None:
        """Let go of what it holds."""
        for symbol, message in self._swapping.pop(fault, {}).items():
            self.pass_on(symbol, [message], _AFTER_REORDER)
        if not any(self._faults.of("delay")):
            self._release(math.inf)

    def _break(self, fault: Fault, _symbol: str, messages: Frames) -> Frames:
        return [self._broken(fault, each) if fault.hits() else each for each in messages]

    def _broken(self, fault: Fault, message: bytes) -> bytes:
        self._faults.count(fault, "frames_malformed")
        ways = (
            message[: len(message) // 2],
            b"",
            b"null",
            message.replace(b'"t":', b'"t":-'),
            message.replace(b'"p":"', b'"p":0,"was":"'),
        )
        return ways[fault.counts["frames_malformed"] % len(ways)]

    def _double(self, fault: Fault, _symbol: str, messages: Frames) -> Frames:
        out: Frames = []
        for each in messages:
            out.append(each)
            if fault.hits():
                self._faults.count(fault, "trades_duplicated")
                out.append(each)
        return out

    def _swap(self, fault: Fault, symbol: str, messages: Frames) -> Frames:
        held = self._swapping.setdefault(fault, {})
        out: Frames = []
        for each in messages:
            if symbol in held:
                self._faults.count(fault, "trades_reordered")
                out += (each, held.pop(symbol))
            elif fault.hits():
                held[symbol] = each
            else:
                out.append(each)
        return out

    def _delay(self, fault: Fault, symbol: str, messages: Frames) -> Frames:
        if not messages:
            return []  # Where two delay, the first has taken all.
        self._faults.count(fault, "trades_delayed", len(messages))
        loop = asyncio.get_running_loop()
        due = loop.time() + fault.order.amount / 1000
        if self._late:
            due = max(due, self._late[-1][0])  # Never before what was traded before.
        self._late.append((due, symbol, messages))
        loop.call_at(due, self._release, due)
        return []

    def _release(self, due: float) -> None:
        while self._late and self._late[0][0] <= due:
            _, symbol, messages = self._late.popleft()
            self.pass_on(symbol, messages, _AFTER_DELAY)

    def _withhold(self, fault: Fault, _symbol: str, messages: Frames) -> Frames:
        self._faults.count(fault, "frames_withheld", len(messages))
        return []
