"""The exchange's two doors: the live stream, and the history by id."""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import aiohttp
import orjson

PAGE = 1000
# A frozen exchange still accepts connections, and then says nothing: only deadlines notice. One
# that is slow but goes on is waited for.
_REST = aiohttp.ClientTimeout(total=30, sock_connect=3, sock_read=5)
_HANDSHAKE_SECONDS = 5.0
_CLOSE_SECONDS = 1.0
# A stream that says nothing for so long is pinged, and given up without an answer in half of it:
# a market at rest is silent too, but it answers.
_HEARTBEAT_SECONDS = 4.0
_MAX_MESSAGE_BYTES = 1024 * 1024
# A page of a thousand trades has 200 KB.
_MAX_PAGE_BYTES = 4 * 1024 * 1024
_BAD_REQUEST = 400
# Whoever asks for more is believed no longer; Binance's first ban lasts two minutes.
_LONGEST_WAIT_SECONDS = 120.0

_FAILURES = (aiohttp.ClientError, TimeoutError, OSError)


class FeedError(Exception):
    """The exchange cannot be reached, hung up, or answered nonsense: connect again later.

    *wait* is for how many seconds the exchange asked not to be asked again.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        """Say what happened in *message*."""
        super().__init__(message)
        self.wait = wait


class SymbolRefusedError(Exception):
    """The exchange does not know a symbol; asking again will not help."""

    def __init__(self, symbol: str, answer: bytes) -> None:
        """Quote the exchange's *answer*."""
        super().__init__(f"{symbol}: {answer[:200]!r}")


class Feed:
    """A client of one exchange."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        stream_url: str,
        rest_url: str,
        tls: ssl.SSLContext | None = None,
        heartbeat: float = _HEARTBEAT_SECONDS,
    ) -> None:
        """Use *session* for both doors, believe whom *tls* believes, ping after *heartbeat* s."""
        self._session = session
        self._stream_url = stream_url
        self._rest_url = rest_url
        self._tls = tls or ssl.create_default_context()
        self._heartbeat = heartbeat

    @asynccontextmanager
    async def stream(self, symbols: tuple[str, ...]) -> AsyncIterator["Stream"]:
        """Subscribe to the trades of *symbols*.

        Raises:
            FeedError: No connection, or no websocket.
        """
        names = "/".join(f"{symbol.lower()}@trade" for symbol in symbols)
        try:
            socket = await self._open(f"{self._stream_url}?streams={names}")
        except _FAILURES as error:
            raise _failure(error, "stream") from error
        try:
            yield Stream(socket, self._heartbeat)
        finally:
            # It may be half gone; what matters is that it is not used any more.
            with suppress(*_FAILURES):
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
            async with self._session.get(
                url, params=query, timeout=_REST, ssl=self._tls
            ) as response:
                if response.status == _BAD_REQUEST:
                    answer = await _body(response)
                    raise SymbolRefusedError(symbol, answer)
                response.raise_for_status()
                page = orjson.loads(await _body(response))
        except (*_FAILURES, orjson.JSONDecodeError) as error:
            raise _failure(error, f"history of {symbol}") from error
        if not isinstance(page, list):
            message = f"history of {symbol}: not a list"
            raise FeedError(message)
        return page

    async def _open(self, url: str) -> aiohttp.ClientWebSocketResponse:
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            return await self._session.ws_connect(
                url,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
                heartbeat=self._heartbeat,
                max_msg_size=_MAX_MESSAGE_BYTES,
                ssl=self._tls,
            )


class Stream:
    """An open subscription."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, heartbeat: float) -> None:
        """Read from *socket*, whose pings are answered, and answers heard, while it is read."""
        self._socket = socket
        self._heartbeat = heartbeat
        self._read_at = time.monotonic()

    async def next_message(self) -> str | bytes:
        """Return the next message.

        Raises:
            FeedError: The exchange hung up, or does not answer pings.
        """
        unread = time.monotonic() - self._read_at
        try:
            message = await self._socket.receive()
        except _FAILURES as error:
            # A ping that lay there while this process was frozen cannot be answered any more.
            raise _failure(error, "stream") from error
        self._read_at = time.monotonic()
        if message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            data: str | bytes = message.data
            return data
        if unread > self._heartbeat:
            text = f"the stream ended, for it was not read for {unread:.0f} s"
            raise FeedError(text)
        broken = self._socket.exception()
        if message.type is aiohttp.WSMsgType.ERROR:
            broken = message.data
        text = f"the stream ended ({broken or f'code {self._socket.close_code}'})"
        raise FeedError(text)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _MAX_PAGE_BYTES:
            message = f"more than {_MAX_PAGE_BYTES} bytes"
            raise aiohttp.ClientPayloadError(message)
    return bytes(body)


def _failure(error: Exception, door: str) -> FeedError:
    """Say what *error* at a *door* means to people."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        found = error.certificate_error
        why = getattr(found, "verify_message", "") or found
        text = f"{error.host}:{error.port} shows a certificate that does not verify: {why}"
        return FeedError(f"{door}: {text}")
    if isinstance(error, aiohttp.ClientResponseError):
        wait = _asked_to_wait(error.headers or {})
        more = f", asks to wait {wait:g} s" if wait else ""
        return FeedError(f"{door}: HTTP {error.status} {error.message}{more}", wait)
    return FeedError(f"{door}: {type(error).__name__} {error!s:.200}")


def _asked_to_wait(headers: Mapping[str, str]) -> float:
    text = headers.get("Retry-After", "")
    # Dates, which HTTP allows too, are left to the back-off: Binance sends seconds.
    return min(float(text), _LONGEST_WAIT_SECONDS) if re.fullmatch("[0-9]{1,9}", text) else 0.0
