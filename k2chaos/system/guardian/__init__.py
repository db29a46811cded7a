"""
The guardian: a process of its own that heals what a dead or hanging run left.

`keeper` is the run's side of it, `process` the guardian itself. They share one pipe each way and
the run's ledger: the ledger says what is broken, the pipe only that there is something new in it,
and by its end that the run is no more.
"""

from typing import Protocol


class Watcher(Protocol):
    """Somebody who outlives a run and heals what it leaves open."""

    def watch_over(self) -> None:
        """Return when what stands in the run's ledger now is known; raise where nobody watches."""

    def close(self) -> None:
        """The run has ended by itself."""
