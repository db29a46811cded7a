"""Waiting for a condition, with a deadline; never for a fixed time."""

from collections.abc import Callable

from k2chaos.clock import SystemClock


def wait_until(is_met: Callable[[], object], what: str, deadline_seconds: float = 20.0) -> None:
    """Return when *is_met*; an assertion says *what* never came true."""
    clock = SystemClock()
    until = clock.monotonic() + deadline_seconds
    while not is_met():
        assert clock.monotonic() < until, f"never: {what}"
        clock.wait(0.005)
