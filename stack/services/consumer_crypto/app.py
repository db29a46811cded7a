"""The sink put together, and how it ends."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import Final

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

import lab_bugs
from consumer_crypto.catalog import connect
from consumer_crypto.codec import Decoder, Registries
from consumer_crypto.dlq import DeadLetters
from consumer_crypto.errors import FatalError
from consumer_crypto.health import Vitals, serve
from consumer_crypto.settings import Settings
from consumer_crypto.sink import FLUSH_SECONDS, Sink
from consumer_crypto.sweep import Sweeper
from consumer_crypto.table import FRESH_SECONDS, TradesTable
from consumer_crypto.upkeep import Upkeep
from consumer_crypto.writer import Writer

_log = logging.getLogger("consumer_crypto")

# After SIGTERM, whatever hangs: later than a flush that may still succeed, and sooner than the
# lab's SIGKILL after 30 s.
_SECONDS_TO_END: Final = FLUSH_SECONDS + 5.0


def run() -> int:
    """Run the sink; the exit code says how it ended."""
    try:
        settings = Settings.from_environment(os.environ)
        logging.basicConfig(
            level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
        )
        # One line per load of the table, per old metadata file that the catalog removed first,
        # and per schema looked up.
        for name in ("pyiceberg", "httpx"):
            logging.getLogger(name).setLevel(logging.ERROR)
    except ValueError as error:
        sys.stderr.write(f"consumer-crypto: {error}\n")
        return 2
    lab_bugs.warn(_log, settings.bugs)
    sink = _assemble(settings)
    _end_on_signals(sink)
    return _run(sink)


def _end_on_signals(sink: Sink) -> None:
    def end(number: int, _: object) -> None:
        _log.info("%s: stopping", signal.Signals(number).name)
        sink.stop()
        timer = threading.Timer(_SECONDS_TO_END, _abandon)
        timer.daemon = True
        timer.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def _abandon() -> None:
    # The table has everything, or it is read again.
    _log.warning("something still hangs after %.0f s: ending without it", _SECONDS_TO_END)
    os._exit(0)


def _run(sink: Sink) -> int:
    try:
        sink.run()
    except FatalError as error:
        _log.critical("%s: %s", type(error).__name__, error)
        return 1
    except Exception:  # noqa: BLE001 - the last line of defence; whoever supervises us goes on
        _log.critical("ending, for this was not foreseen", exc_info=True)
        return 1
    return 0


def _assemble(settings: Settings) -> Sink:
    vitals = Vitals(started_at=time.monotonic())
    fresh_seconds = min(FRESH_SECONDS, settings.upkeep.grace_seconds / 3)
    table = TradesTable(
        lambda: connect(settings), settings.table, settings.topic, fresh_seconds, settings.bugs
    )
    letters = DeadLetters(settings.kafka_bootstrap, settings.topic, settings.dlq_topic)
    decoder = Decoder(Registries(settings.registries).schema)
    upkeep = Upkeep(table, settings.upkeep, vitals)
    writer = Writer(decoder, letters, table, upkeep, vitals, settings.bugs)
    sink = Sink(settings, table, writer, vitals)
    _sweep(settings)
    serve(vitals, settings.port, settings.bugs)
    return sink


def _sweep(settings: Settings) -> None:
    catalogs: list[Catalog] = []

    def load() -> Table:
        if not catalogs:
            catalogs.append(connect(settings))
        return catalogs[0].load_table(settings.table)

    grace = settings.upkeep.grace_seconds
    Sweeper(load, grace).start(max(settings.upkeep.seconds, grace / 10))
