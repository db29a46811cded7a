"""Start the source: `python -m binance_stream`. SIGTERM or SIGINT ends it with a flush."""

import asyncio
import logging
import os
import signal
import sys

import lab_bugs
from binance_stream.app import serve
from binance_stream.settings import BadSettingError, Settings

log = logging.getLogger("binance_stream")


async def _serve_until_signalled(settings: Settings, bugs: frozenset[str]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(settings, bugs, stop)


def main() -> int:
    """Run the source and return its exit code."""
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO").upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        settings = Settings.from_environment()
        bugs = lab_bugs.seeded("binance_stream")
        lab_bugs.warn(log, bugs)
        asyncio.run(_serve_until_signalled(settings, bugs))
    except (BadSettingError, lab_bugs.RefusedBugsError) as error:
        log.error("%s", error)
        return 2
    except OSError as error:
        log.error("the source cannot go on: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
