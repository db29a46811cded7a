"""``python -m consumer_crypto``: ends with 0 if told to, 1 if it must, 2 on bad settings."""

import logging
import os
import signal


def main() -> int:
    """Run the sink; the exit code says how it ended."""
    # PID 1 of a container ignores what it has no handler for, and the imports take seconds.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    from consumer_crypto.app import run

    return run()


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # Not sys.exit(): PyIceberg's worker threads are joined at exit, and one may hang in a call.
    os._exit(code)
