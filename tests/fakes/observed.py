"""Evidence with samples written by hand: on a grid, each quantity a function of time."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from k2chaos.evidence.ledger import LedgerEntry, LedgerReading
from k2chaos.evidence.reading import RunEvidence
from k2chaos.evidence.samples import SAMPLES, Sample

START = datetime(2026, 1, 1, tzinfo=UTC)
Of = Callable[[float], float | None]


def at(seconds: float) -> datetime:
    """So long after the run began."""
    return START + timedelta(seconds=seconds)


def looks(
    quantities: Mapping[tuple[str, str, str | None], Of], times: Iterable[float]
) -> list[Sample]:
    """Samples of the (stage, quantity, key) at *times*; ``None`` is a sample without a number."""
    return [
        Sample(at(now), stage, quantity, of(now), key)
        for now in times
        for (stage, quantity, key), of in quantities.items()
    ]


def table_of(samples: Iterable[Sample]) -> pa.Table:
    """As `read_samples` hands them over."""
    rows = list(samples)
    columns = {name: [getattr(row, name) for row in rows] for name in SAMPLES.names}
    return pa.Table.from_pydict(columns, schema=SAMPLES)


@dataclass
class Watched:
    """
    A run of a pipeline that is well, sampled five times a second for a minute; to be spoilt.

    A hundred records a second of one key reach the API half a second after they were emitted.
    """

    stages: tuple[str, ...] = ("exchange", "api")
    budgets: dict[str, float] = field(default_factory=lambda: {"freshness_seconds": 5.0})
    quantities: dict[tuple[str, str, str | None], Of] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)
    seconds: float = 60.0
    step: float = 0.2
    more: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Fill in what is well."""
        late = {"exchange": 0.0, "topic": 0.1, "table": 0.4, "api": 0.5}
        for stage in self.stages:
            self.sees(stage, "attempt_seconds", lambda _now: 0.004)
            self.sees(stage, "freshness_seconds", lambda _now, ago=late[stage]: ago)  # type: ignore[misc]
            self.sees(stage, "newest_id", lambda now, ago=late[stage]: 100 * (now - ago + 1), "A")  # type: ignore[misc]
        self.sees("engine", "impaired_services", lambda _now: 0.0)

    def sees(self, stage: str, quantity: str, of: Of, key: str | None = None) -> None:
        """What is sampled of one quantity."""
        self.quantities[stage, quantity, key] = of

    def breaks(self, begin: float, end: float | None, event: str = "fault", **facts: Any) -> None:
        """A fault from *begin* to *end*."""
        ended = None if end is None else at(end).isoformat()
        begun = at(begin).isoformat()
        self.happens(
            event, begin, fault_id="pause-1", began_at=begun, sent_at=begun, ended_at=ended, **facts
        )

    def happens(self, event: str, when: float, **facts: Any) -> None:
        """An event."""
        self.events.append({"event": event, "at": at(when).isoformat(), **facts})

    def evidence(self, **changes: Any) -> RunEvidence:
        """What the judge gets."""
        times = np.arange(0.0, self.seconds, self.step)
        samples = table_of([*looks(self.quantities, times), *self.more])
        parts: dict[str, Any] = {
            "run": {"pipeline": {"stages": list(self.stages), "budgets": self.budgets}},
            "journal": {},
            "events": self.events,
            "ledger": LedgerReading(tuple(self.entries), ()),
            "window": None,
            "records": {},
            "damage": (),
            "samples": samples,
        }
        return RunEvidence(**{**parts, **changes})
