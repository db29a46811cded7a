"""Trying again for a while, on a clock that a test can own."""

import threading
from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type
from tenacity.wait import wait_exponential

from k2chaos.clock import Clock

_T = TypeVar("_T")


def patiently(
    once: Callable[[], _T],
    clock: Clock,
    seconds: float,
    errors: tuple[type[Exception], ...],
    event: threading.Event | None = None,
) -> _T:
    """
    What *once* returns, tried again for *seconds* as long as it raises one of *errors*.

    Pauses grow from 0.05 to 2 s; *event* ends the trying.

    Raises:
        Exception: The last of *errors*, or at once any other.
    """
    until = clock.monotonic() + seconds

    def sleep(pause: float) -> None:
        clock.wait(pause, event)

    retrying = Retrying(
        stop=lambda _: clock.monotonic() >= until or (event is not None and event.is_set()),
        sleep=sleep,
        wait=wait_exponential(multiplier=0.05, max=2.0),
        retry=retry_if_exception_type(errors),
        reraise=True,
    )
    return retrying(once)
