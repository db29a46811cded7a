"""What the world sees of the exchange: Binance's combined stream and its history by id."""

import asyncio
import logging
from collections.abc import Mapping

import orjson
from aiohttp import web

from exchange.connections import Connections
from exchange.content import content_of, decimal_text, quote_quantity
from exchange.faults import Faults
from exchange.subscribers import Subscribers
from exchange.tape import Tape

log = logging.getLogger(__name__)

DEFAULT_LIMIT = 500
MAX_LIMIT = 1000
_STREAM_SUFFIX = "@trade"
_PING_SECONDS = 20.0
_CLOSE_SECONDS = 1.0
_DISCONNECTED, _MISSING, _INVALID_SYMBOL, _BAD_VALUE = -1001, -1102, -1121, -1130


class BadQueryError(ValueError):
    """A request that Binance would refuse, with the code it would give."""

    def __init__(self, code: int, message: str) -> None:
        """Refuse with Binance's error *code*."""
        super().__init__(message)
        self.code = code


class Feed:
    """The public side of the exchange."""

    def __init__(
        self,
        seed: int,
        symbols: tuple[str, ...],
        tape: Tape,
        subscribers: Subscribers,
        faults: Faults | None = None,
    ) -> None:
        """Serve *symbols* from *tape* and hand live trades out through *subscribers*.

        Connections are refused and closed as *faults* say.
        """
        self._seed = seed
        self._symbols = frozenset(symbols)
        self._tape = tape
        self._subscribers = subscribers
        self._connections = Connections(Faults() if faults is None else faults)

    def application(self) -> web.Application:
        """Return the routes of the feed port."""
        application = web.Application()
        application.router.add_get("/stream", self._stream)
        application.router.add_get("/api/v3/ping", _ping)
        application.router.add_get("/api/v3/historicalTrades", self._historical_trades)
        application.on_shutdown.append(self._hang_up)
        return application

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self._connections.refuses():
            return _refusal(
                BadQueryError(_DISCONNECTED, "No connection now. Try again later."), 503
            )
        wanted = self._wanted(request.query.get("streams", ""))
        if not wanted:
            return _refusal(BadQueryError(_BAD_VALUE, "'streams' names no stream of this exchange"))
        socket = web.WebSocketResponse(
            heartbeat=_PING_SECONDS, compress=False, timeout=_CLOSE_SECONDS, max_msg_size=65_536
        )
        await socket.prepare(request)
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):
            return socket
        log.info("%s subscribed to %d symbols", request.remote, len(wanted))
        self._connections.add(socket)
        self._subscribers.add(wanted, transport)
        try:
            async for _ in socket:
                pass  # A client has nothing to say; reading answers its pings and sees it go.
        finally:
            self._subscribers.remove(wanted, transport)
            self._connections.discard(socket)
            log.info("%s is gone", request.remote)
        return socket

    def _wanted(self, streams: str) -> frozenset[str]:
        """Return the known symbols of a stream list; unknown ones stay silent, as at Binance."""
        names = (name.strip() for name in streams.split("/"))
        symbols = (name.removesuffix(_STREAM_SUFFIX) for name in names if "@trade" in name)
        return frozenset(symbol.upper() for symbol in symbols) & self._symbols

    async def _historical_trades(self, request: web.Request) -> web.Response:
        try:
            symbol, from_id, limit = self._history_query(request.query)
        except BadQueryError as error:
            return _refusal(error)
        body = orjson.dumps(self._page(symbol, from_id, limit))
        return web.Response(body=body, content_type="application/json")

    def _history_query(self, query: Mapping[str, str]) -> tuple[str, int | None, int]:
        symbol = query.get("symbol")
        if symbol is None:
            raise BadQueryError(_MISSING, "Mandatory parameter 'symbol' was not sent.")
        if symbol not in self._symbols:
            raise BadQueryError(_INVALID_SYMBOL, "Invalid symbol.")
        limit = _whole(query, "limit", DEFAULT_LIMIT)
        if limit is None or not 1 <= limit <= MAX_LIMIT:
            raise BadQueryError(_BAD_VALUE, f"'limit' must be within 1..{MAX_LIMIT}.")
        from_id = _whole(query, "fromId", None)
        if from_id is not None and from_id < 0:
            raise BadQueryError(_BAD_VALUE, "'fromId' must not be negative.")
        return symbol, from_id, limit

    def _page(self, symbol: str, from_id: int | None, limit: int) -> list[dict[str, object]]:
        history = self._tape.history(symbol)
        start = history.last_id - limit + 1 if from_id is None else from_id
        return [
            self._historical(symbol, trade_id, at_ms)
            for trade_id, at_ms in history.times(start, limit)
        ]

    def _historical(self, symbol: str, trade_id: int, at_ms: int) -> dict[str, object]:
        content = content_of(self._seed, symbol, trade_id)
        return {
            "id": trade_id,
            "price": decimal_text(content.price),
            "qty": decimal_text(content.quantity),
            "quoteQty": decimal_text(quote_quantity(content)),
            "time": at_ms,
            "isBuyerMaker": content.buyer_is_maker,
            "isBestMatch": True,
        }

    async def _hang_up(self, _: web.Application) -> None:
        """Tell every client that the exchange is going away; do not wait for the deaf ones."""
        await self._connections.hang_up(b"the exchange stops")


def _whole(query: Mapping[str, str], name: str, default: int | None) -> int | None:
    text = query.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        raise BadQueryError(_BAD_VALUE, f"'{name}' is not a whole number.") from None


def _refusal(error: BadQueryError, status: int = 400) -> web.Response:
    body = orjson.dumps({"code": error.code, "msg": str(error)})
    return web.Response(status=status, body=body, content_type="application/json")


async def _ping(_: web.Request) -> web.Response:
    return web.Response(body=b"{}", content_type="application/json")
