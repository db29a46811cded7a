"""``python -m consumer_crypto``: ends with 0 if told to, 1 if it must, 2 on bad settings."""

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

from consumer_crypto.catalog import connect
from consumer_crypto.codec import Decoder, Registries
from consumer_crypto.dlq import DeadLetters
from consumer_crypto.errors import FatalError
from consumer_crypto.health import Vitals, serve
from consumer_crypto.settings import Settings
from consumer_crypto.sink import Sink
from consumer_crypto.sweep import Sweeper
from consumer_crypto.table import FRESH_SECONDS, TradesTable
from consumer_crypto.upkeep import Upkeep
from consumer_crypto.writer import Writer

_log = logging.getLogger("consumer_crypto")

_SECONDS_TO_END: Final = 8.5


def main() -> int:
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
    sink = _assemble(settings)

    def end(number: int, _: object) -> None:
        _log.info("%s: stopping", signal.Signals(number).name)
        sink.stop()
        # Whatever hangs by then is abandoned: the table has everything, or it is read again.
        timer = threading.Timer(_SECONDS_TO_END, os._exit, [0])
        timer.daemon = True
        timer.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
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
    table = TradesTable(lambda: connect(settings), settings.table, settings.topic, fresh_seconds)
    letters = DeadLetters(settings.kafka_bootstrap, settings.topic, settings.dlq_topic)
    decoder = Decoder(Registries(settings.registries).schema)
    upkeep = Upkeep(table, settings.upkeep)
    sink = Sink(settings, table, Writer(decoder, letters, table, upkeep, vitals), vitals)
    _sweep(settings)
    serve(vitals, settings.port)
    return sink


def _sweep(settings: Settings) -> None:
    catalogs: list[Catalog] = []

    def load() -> Table:
        if not catalogs:
            catalogs.append(connect(settings))
        return catalogs[0].load_table(settings.table)

    grace = settings.upkeep.grace_seconds
    Sweeper(load, grace).start(max(settings.upkeep.seconds, grace / 10))


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # Not sys.exit(): PyIceberg's worker threads are joined at exit, and one may hang in a call.
    os._exit(code)
