"""Health that tells the truth, registries asked in turn, back-off that is capped."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, unused_port
from hypothesis import given
from hypothesis import strategies as st

from binance_stream.app import http_application
from binance_stream.backoff import Backoff
from binance_stream.feed import Feed, FeedError, SymbolRefusedError
from binance_stream.health import Health
from binance_stream.registry import Registry, RegistryError
from binance_stream.tail import Window

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as open_session:
        yield open_session


def test_health_begins_with_starting_and_names_the_step(health: Health) -> None:
    assert health.trouble() == "starting"
    health.note_step("asking a schema registry")
    assert health.trouble() == "starting: asking a schema registry"


def test_health_needs_an_acknowledgement_not_merely_a_connection(
    health: Health, clock: Clock
) -> None:
    health.note_connected()
    health.note_message()
    assert (health.trouble() or "").startswith("starting")
    health.note_acknowledged("BTCUSDT", 1)
    assert health.trouble() is None
    clock.now += 9.9
    assert health.trouble() is None
    clock.now += 0.2
    assert health.trouble() == "exchange silent for 10 s"


def test_health_never_stays_starting_once_connected(health: Health, clock: Clock) -> None:
    health.note_connected()
    clock.now += 11
    assert health.trouble() == "exchange silent for 11 s"


def test_a_market_at_rest_is_not_ill(health: Health, clock: Clock) -> None:
    health.note_connected()
    health.note_rest()
    assert health.trouble() is None
    clock.now += 9
    health.note_rest()
    clock.now += 9
    assert health.trouble() is None
    clock.now += 2
    assert health.trouble() == "exchange silent for 20 s"


def test_a_market_at_rest_does_not_hide_a_kafka_that_is_silent(
    health: Health, clock: Clock
) -> None:
    health.note_connected()
    health.note_acknowledged("BTCUSDT", 1)
    health.queued = lambda: 1
    clock.now += 11
    health.note_rest()

    assert "1 records wait" in (health.trouble() or "")


def test_health_blames_kafka_when_records_wait(health: Health, clock: Clock) -> None:
    health.note_connected()
    health.note_acknowledged("BTCUSDT", 1)
    clock.now += 11
    health.note_message()
    health.queued = lambda: 42
    assert health.trouble() == "Kafka has acknowledged nothing for 11 s, 42 records wait"


def test_health_tells_when_the_exchange_only_repeats_itself(health: Health, clock: Clock) -> None:
    health.note_connected()
    health.note_acknowledged("BTCUSDT", 1)
    clock.now += 11
    health.note_message()
    health.note_repeat()
    assert "did its ids go back?" in (health.trouble() or "")


def test_health_is_bad_while_disconnected_and_good_again_after(health: Health) -> None:
    health.note_connected()
    health.note_acknowledged("BTCUSDT", 1)
    health.note_step("exchange: refused")
    assert health.trouble() == "exchange: refused"
    health.note_connected()
    assert health.trouble() is None


async def test_health_and_metrics_are_served(health: Health) -> None:
    health.note_connected()
    async with TestClient[Any, Any](TestServer(http_application(health))) as client:
        response = await client.get("/health")
        assert (response.status, (await response.json())["status"]) == (503, "starting")
        health.note_acknowledged("BTCUSDT", 1_500)
        response = await client.get("/health")
        assert (response.status, (await response.json())["status"]) == (200, "healthy")
        text = await (await client.get("/metrics")).text()
    assert 'source_acknowledged_total{symbol="BTCUSDT"} 1.0' in text
    assert 'source_newest_acknowledged_event_seconds{symbol="BTCUSDT"} 1.5' in text
    assert "source_healthy 1.0" in text
    assert "source_gap_lost_total 0.0" in text


@given(low=st.integers(0, 50), length=st.integers(1, 5_000), first=st.integers(1, 100))
def test_windows_reach_back_to_the_start_without_a_hole(low: int, length: int, first: int) -> None:
    end = low + length
    window = Window(0, low, max(low, end - first), end)
    while window.start > low:
        earlier = window.earlier()
        assert earlier.end == window.start
        assert earlier.end - earlier.start == min(
            2 * (window.end - window.start), window.start - low
        )
        window = earlier
    assert window.earlier().start == window.earlier().end == low


def test_backoff_doubles_is_capped_and_begins_again() -> None:
    backoff = Backoff(0.2, 5.0)
    delays = [backoff.next_delay() for _ in range(20)]
    assert 0.1 <= delays[0] <= 0.2
    assert 2.5 <= min(delays[6:])
    assert max(delays) <= 5.0
    backoff.reset()
    assert backoff.next_delay() <= 0.2


class FakeRegistry:
    """A registry that knows one schema, or answers with an error."""

    def __init__(self) -> None:
        self.error: int | None = None
        self.asked: list[str] = []
        self.compatibility: str | None = None

    async def serve(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        if self.error is not None:
            return web.Response(status=self.error, text="no")
        if request.method == "POST":
            assert "schema" in json.loads(await request.read())
            return web.json_response({"id": 12})
        if request.method == "PUT":
            self.compatibility = json.loads(await request.read())["compatibility"]
            return web.json_response({"compatibility": self.compatibility})
        if request.path.endswith("/12"):
            return web.json_response({"schema": '"string"'})
        return web.Response(status=404)


@pytest.fixture
async def registries() -> AsyncIterator[list[tuple[FakeRegistry, str]]]:
    started, servers = [], []
    for _ in range(2):
        fake, application = FakeRegistry(), web.Application()
        application.router.add_route("*", "/{path:.*}", fake.serve)
        server = TestServer(application)
        await server.start_server()
        servers.append(server)
        started.append((fake, str(server.make_url("/api"))))
    yield started
    for server in servers:
        await server.close()


async def test_a_schema_is_registered_and_kept_backward_compatible(
    session: aiohttp.ClientSession, registries: list[tuple[FakeRegistry, str]]
) -> None:
    (first, url), _ = registries
    assert await Registry(session, (url,)).register("t-value", "{}", print) == 12
    assert first.asked == ["POST /api/subjects/t-value/versions", "PUT /api/config/t-value"]
    assert first.compatibility == "BACKWARD"


async def test_the_second_registry_is_asked_when_the_first_fails_or_is_away(
    session: aiohttp.ClientSession, registries: list[tuple[FakeRegistry, str]]
) -> None:
    (first, first_url), (second, second_url) = registries
    first.error = 500
    away = f"http://127.0.0.1:{unused_port()}"
    registry = Registry(session, (away, first_url, second_url))
    assert await registry.register("t-value", "{}", print) == 12
    assert second.compatibility == "BACKWARD"


async def test_registering_goes_on_until_a_registry_answers_and_says_why_it_waits(
    session: aiohttp.ClientSession, registries: list[tuple[FakeRegistry, str]]
) -> None:
    (fake, url), _ = registries
    fake.error = 409
    said: list[str] = []
    task = asyncio.create_task(Registry(session, (url,)).register("t-value", "{}", said.append))
    await asyncio.sleep(0.4)
    assert "HTTP 409" in said[0]
    fake.error = None
    assert await asyncio.wait_for(task, 5) == 12


async def test_a_schema_is_looked_up_by_id(
    session: aiohttp.ClientSession, registries: list[tuple[FakeRegistry, str]]
) -> None:
    (fake, url), _ = registries
    registry = Registry(session, (url,))
    assert await registry.schema(12) == '"string"'
    assert await registry.schema(13) is None
    fake.error = 503
    with pytest.raises(RegistryError, match="503"):
        await registry.schema(12)


async def exchange_that(
    handler: Handler, session: aiohttp.ClientSession
) -> tuple[Feed, TestServer]:
    application = web.Application()
    application.router.add_get("/{path:.*}", handler)
    server = TestServer(application)
    await server.start_server()
    url = str(server.make_url("/")).rstrip("/")
    return Feed(session, f"{url}/stream", url), server


@pytest.mark.parametrize(
    "status, body, error",
    [
        (400, '{"code":-1121,"msg":"Invalid symbol."}', SymbolRefusedError),
        (429, "slow down", FeedError),
        (500, "oops", FeedError),
        (200, "<html>", FeedError),
        (200, '{"not":"a list"}', FeedError),
    ],
)
async def test_no_answer_of_the_history_is_taken_for_an_empty_one(
    session: aiohttp.ClientSession, status: int, body: str, error: type[Exception]
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    feed, server = await exchange_that(answer, session)
    with pytest.raises(error):
        await feed.history("BTCUSDT", 1)
    with pytest.raises(FeedError):
        async with feed.stream(("BTCUSDT",)):
            pass
    await server.close()


async def test_a_stream_that_ends_says_so(session: aiohttp.ClientSession) -> None:
    async def hang_up(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(request.query["streams"])
        await socket.close(code=1001)
        return socket

    feed, server = await exchange_that(hang_up, session)
    async with feed.stream(("BTCUSDT", "ETHUSDT")) as stream:
        assert await stream.next_message() == "btcusdt@trade/ethusdt@trade"
        with pytest.raises(FeedError, match="1001"):
            await stream.next_message()
    await server.close()


async def test_nobody_listening_is_an_error_not_a_crash(session: aiohttp.ClientSession) -> None:
    url = f"127.0.0.1:{unused_port()}"
    feed = Feed(session, f"ws://{url}/stream", f"http://{url}")
    with pytest.raises(FeedError):
        await feed.history("BTCUSDT", 1)
    with pytest.raises(FeedError):
        async with feed.stream(("BTCUSDT",)):
            pass
