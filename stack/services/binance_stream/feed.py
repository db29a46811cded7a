"""The exchange's two doors: the live stream, and the history by id."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson

PAGE = 1000
_REST = aiohttp.ClientTimeout(total=5, sock_connect=2)
_HANDSHAKE_SECONDS = 5.0
_CLOSE_SECONDS = 1.0
_MAX_MESSAGE_BYTES = 1024 * 1024
_BAD_REQUEST = 400


class FeedError(Exception):
    """The exchange cannot be reached, hung up, or answered nonsense: connect again later."""


class SymbolRefusedError(Exception):
    """The exchange does not know a symbol; asking again will not help."""

    def __init__(self, symbol: str, answer: bytes) -> None:
        """Quote the exchange's *answer*."""
        super().__init__(f"{symbol}: {answer[:200]!r}")


class Feed:
    """A client of one exchange."""

    def __init__(self, session: aiohttp.ClientSession, stream_url: str, rest_url: str) -> None:
        """Use *session* for both doors."""
        self._session = session
        self._stream_url = stream_url
        self._rest_url = rest_url

    @asynccontextmanager
    async def stream(self, symbols: tuple[str, ...]) -> AsyncIterator["Stream"]:
        """Subscribe to the trades of *symbols*.

        Raises:
            FeedError: No connection, or no websocket.
        """
        names = "/".join(f"{symbol.lower()}@trade" for symbol in symbols)
        try:
            socket = await self._open(f"{self._stream_url}?streams={names}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            message = f"stream: {type(error).__name__} {error}"
            raise FeedError(message) from error
        try:
            yield Stream(socket)
        finally:
            await socket.close()

    async def history(self, symbol: str, from_id: int, limit: int = PAGE) -> list[object]:
        """Return up to *limit* trades of *symbol*, ascending from *from_id*.

        Raises:
            FeedError: No usable answer.
            SymbolRefusedError: The exchange refuses the question itself.
        """
        query = {"symbol": symbol, "fromId": str(from_id), "limit": str(limit)}
        url = f"{self._rest_url}/api/v3/historicalTrades"
        try:
            async with self._session.get(url, params=query, timeout=_REST) as response:
                body = await response.read()
                if response.status == _BAD_REQUEST:
                    raise SymbolRefusedError(symbol, body)
                response.raise_for_status()
                page = orjson.loads(body)
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            message = f"history of {symbol}: {type(error).__name__} {error}"
            raise FeedError(message) from error
        if not isinstance(page, list):
            message = f"history of {symbol}: not a list"
            raise FeedError(message)
        return page

    async def _open(self, url: str) -> aiohttp.ClientWebSocketResponse:
        # A frozen exchange still accepts connections: only a deadline notices.
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            return await self._session.ws_connect(
                url,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
                max_msg_size=_MAX_MESSAGE_BYTES,
            )


class Stream:
    """An open subscription."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Read from *socket*, whose pings are answered while it is read."""
        self._socket = socket

    async def next_message(self) -> str | bytes:
        """Return the next message.

        Raises:
            FeedError: The exchange hung up.
        """
        message = await self._socket.receive()
        if message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            data: str | bytes = message.data
            return data
        reason = f"code {self._socket.close_code}"
        if message.type is aiohttp.WSMsgType.ERROR:
            reason = repr(self._socket.exception())
        text = f"the stream ended ({reason})"
        raise FeedError(text)
