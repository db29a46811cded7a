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

    async def hang_up(self, reason: bytes) -> None:
        """Close all that are open; do not wait for the deaf ones."""
        await _close(self._take_all(), reason)

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
            closing = self._take_all()
            # Counted first: the order may be taken back while the other ends say goodbye.
            self._faults.count(fault, "connections_closed", len(closing))
            await asyncio.shield(_close(closing, b"come back later"))
            if fault.order.kind != "disconnect_storm":
                return
            await asyncio.sleep(fault.order.amount)

    def _take_all(self) -> list[web.WebSocketResponse]:
        taken = [*self._open]
        self._open.clear()
        return taken


async def _close(sockets: list[web.WebSocketResponse], reason: bytes) -> None:
    closing = (each.close(code=WSCloseCode.GOING_AWAY, message=reason) for each in sockets)
    await asyncio.gather(*closing, return_exceptions=True)
