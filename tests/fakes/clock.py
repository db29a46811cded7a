"""A clock that only moves when somebody waits."""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass
class FakeClock:
    """Starts at a fixed moment; `wait` returns at once, and that much later."""

    seconds: float = 0.0

    def now(self) -> datetime:
        """See `Clock`."""
        return datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """See `Clock`."""
        return self.seconds

    def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
        """See `Clock`."""
        if event is not None and event.is_set():
            return True
        self.seconds += max(0.0, seconds)
        return False
