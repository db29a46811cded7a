"""Bursts: for a while the market trades a multiple of its rate, which stays what it was."""

import math
import time

from exchange.faults import Fault, Faults
from exchange.market import Market
from exchange.orders import BadOrderError, Order
from exchange.settings import MAX_RATE


class Bursts:
    """Carries out the order that concerns the market; one at a time."""

    def __init__(self, faults: Faults, market: Market) -> None:
        """Drive *market* as *faults* say."""
        self._faults = faults
        self._market = market
        self._began_at = 0.0
        self._paced_before = 0
        faults.tell(self)

    def check(self, tag: str, order: Order) -> None:
        """Raise `BadOrderError` for a burst that the market cannot give now."""
        if order.kind != "burst":
            return
        if other := next((each.tag for each in self._faults.of("burst") if each.tag != tag), None):
            message = f"one burst at a time, and {other} is in force"
            raise BadOrderError(message)
        rate = self._market.rate * order.amount
        if not 0 < rate <= MAX_RATE:
            message = (
                f"that would be {rate:g} trades per second; above 0 and up to {MAX_RATE:g} can be"
            )
            raise BadOrderError(message)

    def begin(self, fault: Fault) -> None:
        """Trade faster."""
        if fault.order.kind == "burst":
            self._market.multiply(fault.order.amount)
            self._began_at = time.monotonic()
            self._paced_before = self._market.paced

    def end(self, fault: Fault) -> None:
        """Trade as before."""
        if fault.order.kind == "burst":
            self._note(fault)
            self._market.multiply(1.0)

    def count(self) -> None:
        """Bring the count of trades beyond the plain rate up to date."""
        for fault in self._faults.of("burst"):
            self._note(fault)

    def _note(self, fault: Fault) -> None:
        plain = (time.monotonic() - self._began_at) * self._market.rate
        added = math.floor(self._market.paced - self._paced_before - plain)
        known = fault.counts["trades_added"]
        self._faults.count(fault, "trades_added", max(0, added - known))
