"""The source as a whole: its lives, its reconnects, its HTTP server.

A life begins by reading from the topic what was written last and ends with the first delivery
that fails. The next life begins in the same process: it takes the very path a restarted
process takes, but with a back-off of seconds where the engine's restart policy would grow to
a minute, and with /health saying why all along. Nothing is carried over but counts and the
schema's id. Whatever else goes wrong ends the process; the restart policy starts another.
"""

import asyncio
import logging
import math
import threading
import time

import aiohttp
import orjson
from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from binance_stream.backoff import Backoff
from binance_stream.codec import SCHEMA_TEXT, Codec, UnknownWriterSchemaError
from binance_stream.feed import Feed, FeedError, Stream
from binance_stream.health import Health, HealthCollector
from binance_stream.registry import Registry, RegistryError
from binance_stream.relay import Relay
from binance_stream.saved import Saved
from binance_stream.seldom import Seldom
from binance_stream.sequence import Sequence
from binance_stream.settings import Settings
from binance_stream.tail import Tail, TailUnreadableError
from binance_stream.together import together
from binance_stream.topic import DeliveryFailedError, TopicWriter

log = logging.getLogger(__name__)

_SHORTEST_BACKOFF = 0.2
_LONGEST_BACKOFF = 3.0
# An exchange that hangs up sooner, every time, is not asked again without a pause.
_STEADY_SECONDS = 10.0
# Only with the bug on purpose.
_FAILURES_TO_GIVE_UP = 5
_DRAIN_SECONDS = 7.0
_TELL_SECONDS = 1.0


class Source:
    """One exchange, one topic."""

    def __init__(
        self,
        settings: Settings,
        session: aiohttp.ClientSession,
        health: Health,
        bugs: frozenset[str] = frozenset(),
    ) -> None:
        """Use *session* for everything spoken over HTTP."""
        self._settings = settings
        self._bugs = bugs
        self._seldom = Seldom(log)
        self._health = health
        self._feed = Feed(session, settings.stream_url, settings.rest_url, settings.tls)
        self._registry = Registry(session, settings.registries)
        self._codec: Codec | None = None
        self._last_failure = ""
        self._connected_at = math.inf

    async def run(self) -> None:
        """Live, and live again after a failed delivery, until cancelled."""
        backoff = Backoff(_SHORTEST_BACKOFF, _LONGEST_BACKOFF)
        while True:
            acknowledged = sum(self._health.acknowledged.values())
            try:
                await self._live()
            except DeliveryFailedError as error:
                self._health.counts.delivery_errors += 1
                self._last_failure = f" (a record was refused before: {error})"
                self._step("beginning anew")
                log.error("beginning anew from what the topic has: %s", error)
            except (TailUnreadableError, RegistryError) as error:
                self._step(f"reading the topic's tail: {error}")
                log.warning("the topic's tail: %s", error)
            if sum(self._health.acknowledged.values()) > acknowledged:
                backoff.reset()
            await asyncio.sleep(backoff.next_delay())

    def _step(self, step: str) -> None:
        self._health.note_step(step + self._last_failure)

    async def _live(self) -> None:
        settings = self._settings
        codec = await self._learned_codec()
        self._step("reading the topic's tail")
        last = await self._last_ids(codec)
        log.info("the topic has %d of %d symbols: %s", len(last), len(settings.symbols), last)
        self._step("fetching what was missed from the exchange")
        writer = TopicWriter(
            settings.bootstrap, settings.topic, self._health.note_acknowledged, bugs=self._bugs
        )
        self._health.queued = lambda: writer.queued
        sequence = Sequence(settings.symbols, last)
        if "source-saves-first" in self._bugs:
            saved = Saved(settings.state / "last_ids.json")
            sequence = Sequence(settings.symbols, saved.believed(last), saved.note)
        relay = Relay(self._feed, sequence, codec, writer, self._health, self._bugs)
        try:
            await together(writer.serve(), self.follow(relay))
        except asyncio.CancelledError:
            left = await writer.drain(_DRAIN_SECONDS)
            log.info("stopped, %d records unwritten (the next life fetches them again)", left)
            raise
        finally:
            await asyncio.to_thread(writer.abandon)

    async def _learned_codec(self) -> Codec:
        if self._codec is None:
            self._step("asking a schema registry")
            settings = self._settings
            schema_id = await self._registry.register(
                settings.subject, SCHEMA_TEXT, self._health.note_step
            )
            log.info("schema %d of %s", schema_id, settings.subject)
            self._codec = Codec(schema_id, settings.symbols)
        return self._codec

    async def _last_ids(self, codec: Codec) -> dict[str, int]:
        settings = self._settings
        cancelled = threading.Event()
        while True:
            tail = Tail(settings.bootstrap, settings.topic, codec.trade_id, cancelled)
            try:
                return await asyncio.to_thread(tail.last_ids, settings.symbols)
            except UnknownWriterSchemaError as error:
                codec.teach(error.schema_id, await self._registry.schema(error.schema_id))
            except asyncio.CancelledError:
                cancelled.set()
                raise

    async def follow(self, relay: Relay) -> None:
        """Stay connected to the exchange for as long as the life lasts."""
        backoff, failures = Backoff(_SHORTEST_BACKOFF, _LONGEST_BACKOFF), 0
        while "source-gives-up" not in self._bugs or failures < _FAILURES_TO_GIVE_UP:
            self._connected_at = math.inf
            wait = 0.0
            try:
                await self._connect_and_read(relay)
            except FeedError as error:
                self._health.counts.reconnects += 1
                self._health.note_step(f"exchange: {error}")
                self._seldom.say(logging.WARNING, f"{error!s:.60}", f"exchange: {error}")
                wait, failures = error.wait, failures + 1
            if time.monotonic() - self._connected_at > _STEADY_SECONDS:
                backoff.reset()
                failures = 0
            await asyncio.sleep(max(wait, backoff.next_delay()))
        await asyncio.Event().wait()

    async def _connect_and_read(self, relay: Relay) -> None:
        symbols = self._settings.symbols
        # A long gap is fetched before subscribing, or the exchange would cut us off as too
        # slow meanwhile; the little that happened since is fetched right after.
        await relay.catch_up(symbols)
        async with self._feed.stream(symbols) as stream:
            await relay.catch_up(symbols)
            self._health.note_connected()
            self._connected_at = time.monotonic()
            log.info("connected to the exchange")
            await together(_read(stream, relay), relay.watch(symbols))


async def _read(stream: Stream, relay: Relay) -> None:
    while True:
        await relay.take(await stream.next_message())


def http_application(health: Health, bugs: frozenset[str] = frozenset()) -> web.Application:
    """Return `/health` and `/metrics` over *health*."""

    async def say_health(_: web.Request) -> web.Response:
        trouble = None if "source-always-healthy" in bugs else health.trouble()
        status = "healthy" if trouble is None else "unhealthy"
        if trouble is not None and trouble.startswith("starting"):
            status = "starting"
        newest_ms = max(health.newest_ms.values(), default=None)
        body = {
            "status": status,
            "reason": trouble,
            "newest_acknowledged_ms": newest_ms,
            "bugs": sorted(bugs),
        }
        return web.Response(
            status=200 if trouble is None else 503,
            body=orjson.dumps(body),
            content_type="application/json",
        )

    async def say_metrics(_: web.Request) -> web.Response:
        body = generate_latest(registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    registry = CollectorRegistry()
    for standard in (ProcessCollector, PlatformCollector, GCCollector):
        standard(registry=registry)
    registry.register(HealthCollector(health))
    application = web.Application()
    application.router.add_get("/health", say_health)
    application.router.add_get("/metrics", say_metrics)
    return application


async def _tell_changes(health: Health) -> None:
    """Log when the source becomes healthy, and why it no longer is."""
    was_healthy = False
    while True:
        trouble = health.trouble()
        if was_healthy != (trouble is None):
            was_healthy = trouble is None
            log.info("healthy") if was_healthy else log.warning("unhealthy: %s", trouble)
        await asyncio.sleep(_TELL_SECONDS)


async def serve(settings: Settings, bugs: frozenset[str], stop: asyncio.Event) -> None:
    """Run the source until *stop* is set; raises whatever it cannot live with."""
    health = Health()
    runner = web.AppRunner(
        http_application(health, bugs),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=0.5,
    )
    await runner.setup()
    await web.TCPSite(runner, port=settings.port).start()
    async with aiohttp.ClientSession() as session:
        running = asyncio.create_task(Source(settings, session, health, bugs).run())
        stopping = asyncio.create_task(stop.wait())
        telling = asyncio.create_task(_tell_changes(health))
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        telling.cancel()
        running.cancel()
        await asyncio.wait((running,))
    await runner.cleanup()
    if not running.cancelled() and (broken := running.exception()) is not None:
        raise broken
