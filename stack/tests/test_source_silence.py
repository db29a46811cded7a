"""Peers that accept and then say nothing: noticed in seconds, and no reason not to end."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from source_fakes import until

from binance_stream.feed import Feed, FeedError, Stream
from binance_stream.registry import Registry
from binance_stream.tls import client_context

SERVICES = Path(__file__).parents[1] / "services"


class Mute:
    """Accepts every connection, reads, and never answers."""

    def __init__(self) -> None:
        self.connections = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._listen, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while await reader.read(65_536):
            pass
        writer.close()


async def seconds_until_refused(call: Callable[[], object]) -> float:
    began = time.monotonic()
    with pytest.raises(FeedError):
        await call()  # type: ignore[misc]
    return time.monotonic() - began


async def test_no_call_to_a_frozen_exchange_lasts_longer_than_six_seconds() -> None:
    async with Mute() as port, aiohttp.ClientSession() as session:
        plain = Feed(session, f"ws://127.0.0.1:{port}/stream", f"http://127.0.0.1:{port}")
        tls = client_context("")
        wrapped = Feed(session, f"wss://127.0.0.1:{port}/s", f"https://127.0.0.1:{port}", tls)

        async def subscribe(feed: Feed) -> None:
            async with feed.stream(("BTCUSDT",)):
                pass

        took = await asyncio.gather(
            seconds_until_refused(lambda: plain.history("BTCUSDT", 1)),
            seconds_until_refused(lambda: wrapped.history("BTCUSDT", 1)),
            seconds_until_refused(lambda: subscribe(plain)),
            seconds_until_refused(lambda: subscribe(wrapped)),
        )
    assert max(took) < 6


async def test_a_history_that_is_slow_but_goes_on_is_waited_for() -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (b"[", *[b" "] * 12, b"]"):
            await response.write(piece)
            await asyncio.sleep(0.5)
        return response

    application = web.Application()
    application.router.add_get("/{path:.*}", trickle)
    async with TestServer(application) as server, aiohttp.ClientSession() as session:
        feed = Feed(session, "ws://unused", str(server.make_url("/")).rstrip("/"))
        assert await feed.history("BTCUSDT", 1) == []


@asynccontextmanager
async def silent_stream(*, answers_pings: bool) -> AsyncIterator[TestServer]:
    async def stream(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=answers_pings)
        await socket.prepare(request)
        await socket.send_str("the only message")
        async for _ in socket:
            pass
        return socket

    application = web.Application()
    application.router.add_get("/stream", stream)
    async with TestServer(application) as server:
        yield server


async def test_a_stream_that_answers_no_ping_is_given_up() -> None:
    async with (
        silent_stream(answers_pings=False) as server,
        aiohttp.ClientSession() as session,
    ):
        feed = Feed(session, str(server.make_url("/stream")), "http://unused", heartbeat=0.4)
        async with feed.stream(("BTCUSDT",)) as stream:
            await stream.next_message()
            with pytest.raises(FeedError, match="No PONG"):
                await asyncio.wait_for(stream.next_message(), 5)


async def test_a_stream_that_nobody_could_read_is_not_blamed_on_the_exchange() -> None:
    """While Kafka is away nobody reads, so no answer to a ping is seen either."""
    async with (
        silent_stream(answers_pings=False) as server,
        aiohttp.ClientSession() as session,
    ):
        feed = Feed(session, str(server.make_url("/stream")), "http://unused", heartbeat=0.2)
        async with feed.stream(("BTCUSDT",)) as stream:
            await stream.next_message()
            await asyncio.sleep(0.6)
            with pytest.raises(FeedError, match="not read for"):
                await asyncio.wait_for(stream.next_message(), 5)


async def test_a_market_at_rest_is_silent_and_is_not_given_up() -> None:
    async with (
        silent_stream(answers_pings=True) as server,
        aiohttp.ClientSession() as session,
    ):
        feed = Feed(session, str(server.make_url("/stream")), "http://unused", heartbeat=0.2)
        async with feed.stream(("BTCUSDT",)) as stream:
            await stream.next_message()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stream.next_message(), 1.5)


async def test_a_registry_that_hangs_costs_seconds_when_the_other_answers() -> None:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"id": 12})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with (
        Mute() as port,
        TestServer(application) as server,
        aiohttp.ClientSession() as session,
    ):
        registry = Registry(session, (f"http://127.0.0.1:{port}", str(server.make_url("/"))))
        began = time.monotonic()
        assert await registry.register("t-value", "{}", print) == 12
        assert time.monotonic() - began < 7


@pytest.mark.parametrize("mute", ["the registries", "the broker"])
async def test_sigterm_ends_the_source_within_its_grace_whoever_is_silent(mute: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"id": 12})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    silence = Mute()
    async with silence as port, TestServer(application) as server:
        registry = server.port if mute == "the broker" else port
        environment = {
            **os.environ,
            "PYTHONPATH": str(SERVICES),
            "EXCHANGE_WS": f"ws://127.0.0.1:{port}/stream",
            "EXCHANGE_REST": f"http://127.0.0.1:{port}",
            "KAFKA_BOOTSTRAP": f"127.0.0.1:{port}",
            "SCHEMA_REGISTRY_URLS": f"http://127.0.0.1:{registry}",
            "PORT": str(unused_port()),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "binance_stream", env=environment
        )
        try:
            await until(lambda: silence.connections > 0, 20)
            process.send_signal(signal.SIGTERM)
            asked = time.monotonic()
            assert await asyncio.wait_for(process.wait(), 20) == 0
            assert time.monotonic() - asked < 10
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


class Gone:
    """A websocket whose transport went while the process was frozen."""

    async def receive(self) -> aiohttp.WSMessage:
        message = "Cannot write to closing transport"
        raise aiohttp.ClientConnectionResetError(message)


async def test_a_stream_that_broke_while_the_process_was_frozen_is_one_that_ended() -> None:
    stream = Stream(cast("aiohttp.ClientWebSocketResponse", Gone()), 4.0)

    with pytest.raises(FeedError, match="Cannot write to closing transport"):
        await stream.next_message()
