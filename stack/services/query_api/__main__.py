"""``python -m query_api``: 0 when told to stop, 2 on bad settings."""

import logging
import os
import signal


def main() -> int:
    """Serve until told to stop."""
    # PID 1 of a container ignores what it has no handler for, and the imports take seconds.
    # uvicorn takes over while it serves. When it is done it raises the signal that ended it once
    # more, to die of it: by then there is nothing left to do but this.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    from query_api.serving import run

    return run()


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # Not sys.exit(): worker threads are joined at exit, and one may hang in a call to the store.
    os._exit(code)
