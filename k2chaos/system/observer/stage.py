"""A look at a stage, as samples: how long it took, what is newest there, and how stale that is."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from k2chaos.clock import Clock
from k2chaos.evidence.freshness import Sighting
from k2chaos.evidence.samples import Sample
from k2chaos.system.observer.gauge import Fresh, Gauge


class Shown(NamedTuple):
    """
    What one look at a stage showed.

    Attributes:
        newest: The newest record of each key that is in it.
        note: What the stage said beside it.
        missing: Numbers that it lacks although it shows the key's before and after.
    """

    newest: Mapping[str, Sighting]
    note: str | None = None
    missing: Sequence[tuple[str, int]] = ()


@dataclass(slots=True)
class StageLook:
    """
    Looks at one stage.

    Attributes:
        ask: Asks the stage what it shows; gets by key the number that ought to be there.
    """

    stage: str
    ask: Callable[[Mapping[str, int]], Shown]
    gauge: Gauge
    clock: Clock
    _visible: Mapping[str, Sighting] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def shown(self) -> Mapping[str, Sighting]:
        """The newest of each key, as it was shown last."""
        return self._visible

    def look(self) -> list[Sample]:
        """See `Looking`."""
        mark = self.gauge.mark()
        began = self.clock.monotonic()
        shown = self.ask(self.gauge.wanted(mark))
        seconds = self.clock.monotonic() - began
        with self._lock:
            self._visible = {**self._visible, **shown.newest}
            fresh = self.gauge.read(self._visible, mark)
        at = self.clock.now()
        ids = sorted((key, one.sequence) for key, one in shown.newest.items())
        return [
            Sample(at, self.stage, "attempt_seconds", seconds, note=shown.note),
            *(Sample(at, self.stage, "newest_id", float(one), key) for key, one in ids),
            *(Sample(at, self.stage, "missing_id", float(one), key) for key, one in shown.missing),
            self._freshness(fresh),
        ]

    def unseen(self, note: str) -> list[Sample]:
        """See `Looking`."""
        with self._lock:
            fresh = self.gauge.read(self._visible, self.gauge.mark())
        attempt = Sample(self.clock.now(), self.stage, "attempt_seconds", note=note)
        return [attempt, self._freshness(Fresh(fresh.seconds, fresh.note or note))]

    def _freshness(self, fresh: Fresh) -> Sample:
        at = self.clock.now()
        return Sample(at, self.stage, "freshness_seconds", fresh.seconds, note=fresh.note)
