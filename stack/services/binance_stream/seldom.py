"""Saying the same thing again, but not all the time."""

import logging
import math
import time
from collections.abc import Callable

_SECONDS = 10.0


class Seldom:
    """Logs one line of a kind per ten seconds, and with the next how many were withheld."""

    def __init__(
        self,
        log: logging.Logger,
        seconds: float = _SECONDS,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Say it through *log*, each kind once per *seconds*."""
        self._log = log
        self._seconds = seconds
        self._clock = clock or time.monotonic
        self._said_at: dict[str, float] = {}
        self._withheld: dict[str, int] = {}

    def say(self, level: int, kind: str, text: str) -> None:
        """Log *text*, unless one of its *kind* (of which there must be few) was just logged."""
        now = self._clock()
        if now - self._said_at.get(kind, -math.inf) < self._seconds:
            self._withheld[kind] = self._withheld.get(kind, 0) + 1
            return
        self._said_at[kind] = now
        more = self._withheld.pop(kind, 0)
        self._log.log(level, "%s%s", text, f" ({more} more of the kind before)" if more else "")
