"""The websockets that are open, and what orders do to them."""

import asyncio
import logging

from aiohttp import WSCloseCode, web

from exchange.faults import Fault, Faults

log = logging.getLogger(__name__)

_CLOSING = frozenset({"refuse", "disconnect", "disconnect_storm"})


class Connections:
    """Every open websocket; carries out the orders that concern them."""

    def __init__(self, faults: Faults) -> None:
        """Begin with none."""
        self._faults = faults
        self._open: set[web.WebSocketResponse] = set()
        self._closing: dict[Fault, asyncio.Task[None]] = {}
        faults.tell(self)

    def add(self, socket: web.WebSocketResponse) -> None:
        """Count *socket* among the open ones."""
        self._open.add(socket)

    def discard(self, socket: web.WebSocketResponse) -> None:
        """Forget *socket*."""
        self._open.discard(socket)

    def refuses(self) -> bool:
        """Whether who knocks now is refused; counted."""
        fault = next(self._faults.of("refuse"), None)
        if fault is not None:
            self._faults.count(fault, "connections_refused")
        return fault is not None

    async def hang_up(self, reason: bytes) -> int:
        """Close all that are open, do not wait for the deaf ones; return how many."""
        closing = [*self._open]
        self._open.clear()
        await asyncio.gather(
            *(each.close(code=WSCloseCode.GOING_AWAY, message=reason) for each in closing),
            return_exceptions=True,
        )
        return len(closing)

    def begin(self, fault: Fault) -> None:
        """Close what an order says is to be closed."""
        if fault.order.kind in _CLOSING:
            self._closing[fault] = asyncio.create_task(self._close_for(fault))

    def end(self, fault: Fault) -> None:
        """Close no further ones."""
        task = self._closing.pop(fault, None)
        if task is not None:
            task.cancel()

    async def _close_for(self, fault: Fault) -> None:
        while True:
            closed = await self.hang_up(b"come back later")
            self._faults.count(fault, "connections_closed", closed)
            if fault.order.kind != "disconnect_storm":
                return
            await asyncio.sleep(fault.order.amount)
