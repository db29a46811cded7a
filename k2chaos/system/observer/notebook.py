"""
What was seen, on its way to the disk.

Whoever sees something writes it here and goes on; a thread of its own puts it on disk four times
a second, so that a slow disk delays nobody and a death costs little.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from k2chaos.clock import Clock
from k2chaos.evidence.samples import Sample, SampleWriter

WRITE_SECONDS: Final = 0.25


@dataclass(slots=True)
class Notebook:
    """
    Keeps samples until they are written.

    Attributes:
        failed: Told once why samples can be written no more: a stream that broke off in the middle
            of a batch cannot be gone on with.
    """

    writer: SampleWriter
    failed: Callable[[str], None]
    clock: Clock
    _samples: list[Sample] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, samples: Iterable[Sample]) -> None:
        """Write *samples* down, from any thread."""
        seen = list(samples)
        with self._lock:
            self._samples += seen

    def keep(self, over: threading.Event) -> None:
        """Put on disk what there is, until it is *over*; then the rest, and end the stream."""
        try:
            while not self.clock.wait(WRITE_SECONDS, over):
                self.writer.append(self._taken())
            self.writer.append(self._taken())
            self.writer.close()
        except OSError as error:
            self.failed(f"{self.writer.path.name} cannot be written: {error}")

    def _taken(self) -> list[Sample]:
        with self._lock:
            taken, self._samples = self._samples, []
        return taken
