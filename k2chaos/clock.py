"""
Time as a parameter.

Timestamps are aware UTC, durations come from the monotonic clock, and every wait can be cut short
by an event: who waits can be interrupted, and a test's clock need not wait at all.
"""

import threading
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What code that needs time may ask for."""

    def now(self) -> datetime:
        """The wall clock, aware UTC."""

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean something."""

    def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
        """Wait *seconds*, or until *event* is set; whether it is set."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """The wall clock, aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of the machine's monotonic clock."""
        return time.monotonic()

    def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
        """Wait *seconds*, or until *event* is set; whether it is set."""
        return (event or threading.Event()).wait(max(0.0, seconds))
