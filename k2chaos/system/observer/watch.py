"""
One thing that is looked at: one look at a time, in a thread of its own.

A tick starts a look, or says that the one before is still outstanding. A look that the pipeline
refuses, or that fails, is a sample like any other.
"""

import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from k2chaos.errors import K2ChaosError, StageError
from k2chaos.evidence.samples import Sample

OUTSTANDING: Final = "outstanding"
"""Note of a tick at which the look before had not come back."""

_LOOK: Final = "look"
_END: Final = "end"


class Looking(Protocol):
    """A way of looking at something."""

    def look(self) -> Iterable[Sample]:
        """Look once; an error of the package is a look that failed."""

    def unseen(self, note: str) -> Iterable[Sample]:
        """What there is to say at a tick at which nothing was seen; *note* says why."""


@dataclass(slots=True)
class Watch:
    """
    Looks when told to.

    Attributes:
        name: Of its thread.
        put: Takes what was seen.
    """

    name: str
    looking: Looking
    put: Callable[[Iterable[Sample]], None]
    _is_idle: threading.Event = field(default_factory=threading.Event)
    _orders: "queue.SimpleQueue[str]" = field(default_factory=queue.SimpleQueue)

    def start(self) -> None:
        """Be ready for ticks."""
        self._is_idle.set()
        threading.Thread(target=self._run, name=self.name, daemon=True).start()

    def tick(self) -> None:
        """Have a look started, unless one is outstanding; never waits."""
        if not self._is_idle.is_set():
            self.put(self.looking.unseen(OUTSTANDING))
            return
        self._is_idle.clear()
        self._orders.put(_LOOK)

    def await_look(self, seconds: float) -> bool:
        """Wait until no look is outstanding, for at most so long; whether none is."""
        return self._is_idle.wait(seconds)

    def stop(self) -> None:
        """Look no more; what is outstanding is left to itself."""
        self._orders.put(_END)

    def _run(self) -> None:
        while self._orders.get() == _LOOK:
            try:
                self.put(self.looking.look())
            except (K2ChaosError, OSError) as error:
                self.put(self.looking.unseen(reason_of(error)))
            self._is_idle.set()


def reason_of(error: Exception) -> str:
    """Why a look failed, in a word or two that evidence can be grouped by."""
    return error.reason if isinstance(error, StageError) else type(error).__name__
