"""How long to wait before the next attempt."""

import random


class Backoff:
    """Doubling delays between *shortest* and *longest* seconds, each with jitter."""

    __slots__ = ("_longest", "_next", "_shortest")

    def __init__(self, shortest: float, longest: float) -> None:
        """Begin with the shortest delay."""
        self._shortest = shortest
        self._longest = longest
        self._next = shortest

    def next_delay(self) -> float:
        """Return the delay before the next attempt: half to all of the present step."""
        step = self._next
        self._next = min(self._longest, step * 2)
        return step * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret

    def reset(self) -> None:
        """Begin again with the shortest delay: an attempt has worked."""
        self._next = self._shortest
