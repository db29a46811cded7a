"""
The observer: the background sampler of one run, in a process of its own.

A process of its own, so that what it does delays no fault by a moment, and no probe delays it; and
so that nothing it dies of harms the run. `keeper` is the run's side of it, `process` the observer
itself. They share one pipe each way: the observer says when it has begun and why it fails, and
ends when its standard input does, whatever the run died of.

In it a `Ticker` keeps the grid and asks nobody anything; each thing looked at has a `Watch`, with a
thread and clients of its own, so that what hangs there delays nothing here; and the `Notebook`
puts on disk what they all saw.
"""

from typing import Protocol


class Observing(Protocol):
    """Somebody who samples the stages while a run lasts. Neither call ever raises."""

    def begin(self) -> None:
        """Return when the observer looks at every stage, or has said why it cannot."""

    def end(self) -> None:
        """Return when all that was seen is on disk; safe to call twice."""
