"""Start the exchange: `python -m exchange`. SIGTERM or SIGINT ends it."""

import asyncio
import logging
import os
import signal
import ssl
import sys

from aiohttp import web

import lab_bugs
from exchange.control import Control, stored_rate
from exchange.faults import Faults
from exchange.feed import Feed
from exchange.market import Market
from exchange.settings import BadSettingError, Settings
from exchange.subscribers import Subscribers
from exchange.tape import SeedChangedError, Tape

log = logging.getLogger("exchange")

_SHUTDOWN_SECONDS = 1.0


async def serve(settings: Settings, bugs: frozenset[str]) -> None:
    """Run the exchange until a signal; raises whatever broke the market."""
    tape = Tape(settings.state, settings.seed, settings.symbols, settings.retention_seconds)
    faults = Faults()
    subscribers = Subscribers(settings.seed, faults)
    rate = stored_rate(settings.state, settings.rate)
    market = Market(settings.symbols, tape, rate, subscribers.publish)
    feed = Feed(settings.seed, settings.symbols, tape, subscribers, faults)
    control = Control(settings, tape, market, subscribers, bugs, faults)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runners = [
        await _listen(feed.application(), settings.feed_port, settings.tls),
        await _listen(control.application(), settings.control_port),
    ]
    how = "TLS" if settings.tls else "plain HTTP"
    size = len(settings.symbols)
    log.info("open (%s): %d symbols, %g trades/s, seed %d", how, size, rate, settings.seed)
    trading = asyncio.create_task(market.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((trading, stopping), return_when=asyncio.FIRST_COMPLETED)
    broken = trading.exception() if trading.done() else None
    trading.cancel()
    await asyncio.gather(*(runner.cleanup() for runner in runners))
    tape.close()
    if broken is not None:
        raise broken
    log.info("closed after %d trades", market.emitted)


async def _listen(
    application: web.Application, port: int, tls: ssl.SSLContext | None = None
) -> web.AppRunner:
    runner = web.AppRunner(
        application, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS
    )
    await runner.setup()
    await web.TCPSite(runner, port=port, ssl_context=tls).start()
    return runner


def main() -> int:
    """Run the exchange and return its exit code."""
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO").upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        settings = Settings.from_environment()
        bugs = lab_bugs.seeded("exchange")
        lab_bugs.warn(log, bugs)
        asyncio.run(serve(settings, bugs))
    except (BadSettingError, SeedChangedError, lab_bugs.RefusedBugsError) as error:
        log.error("%s", error)
        return 2
    except OSError as error:
        log.error("the exchange cannot go on: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
