"""
Freshness while a run lasts, seen or not.

The definition is that of `k2chaos.evidence.freshness`. What a look showed last stays what is
visible until another look shows more: while nobody can see, freshness goes on growing from there.
Where the exchange cannot be asked either, nobody knows what ought to be visible, and freshness
grows by a second a second from what it was when last known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NamedTuple, Protocol

from k2chaos.clock import Clock
from k2chaos.evidence.freshness import (
    Emitted,
    Sighting,
    active_keys,
    freshness_seconds,
    unaided_freshness_seconds,
)
from k2chaos.system.exchange import Ledger

RECENT_SECONDS: Final = 1.0
"""How old the exchange's word may be; the longest that a stage may go unasked, too."""

EMPTY: Final = "empty"
"""Note where no key is active: there is nothing to measure from."""
EXCHANGE_UNSEEN: Final = "exchange unseen"


class Fresh(NamedTuple):
    """A freshness in seconds, or why there is none."""

    seconds: float | None
    note: str | None = None


class Gauge(Protocol):
    """Tells how stale one stage is."""

    def mark(self) -> Any:
        """What is known before a look, of what ought to be visible; for the two below."""

    def wanted(self, mark: Any) -> Mapping[str, int]:
        """By key, the newest number that ought to be visible."""

    def read(self, visible: Mapping[str, Sighting], mark: Any) -> Fresh:
        """How stale the stage is now, where it showed last what is *visible*."""


class Said(NamedTuple):
    """
    What the exchange said, and when.

    Attributes:
        asked_at: Monotonic: a slow answer makes no stage look fresher.
    """

    ledger: Ledger
    asked_at: float

    @property
    def emitted(self) -> dict[str, Emitted]:
        """The keys that ever traded."""
        return {key: one for key, one in self.ledger.keys.items() if one.last_id}


class _Mark(NamedTuple):
    """The exchange's last word, and whether it was recent when it was looked up."""

    said: Said
    is_recent: bool


@dataclass(slots=True)
class AgainstExchange:
    """
    Holds a stage against what the exchange emitted.

    Attributes:
        said: What the exchange said last. Looked up when a look begins: a record that was emitted
            during the look makes no stage look stale.
    """

    said: Callable[[], Said | None]
    clock: Clock
    _known: float = 0.0
    _known_at: float = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is known: it grows from here."""
        self._known_at = self.clock.monotonic()

    def mark(self) -> _Mark | None:
        """See `Gauge`."""
        said = self.said()
        if said is None:
            return None
        return _Mark(said, self.clock.monotonic() - said.asked_at <= RECENT_SECONDS)

    def wanted(self, mark: _Mark | None) -> dict[str, int]:
        """See `Gauge`."""
        return {key: one.last_id for key, one in mark.said.emitted.items()} if mark else {}

    def read(self, visible: Mapping[str, Sighting], mark: _Mark | None) -> Fresh:
        """See `Gauge`."""
        now = self.clock.monotonic()
        grown = self._known + now - self._known_at
        if mark is None:
            return Fresh(grown, EXCHANGE_UNSEEN)
        moment = mark.said.ledger.now + timedelta(seconds=now - mark.said.asked_at)
        seconds = freshness_seconds(visible, mark.said.emitted, moment)
        if not mark.is_recent:
            return Fresh(max(seconds, grown), EXCHANGE_UNSEEN)
        self._known, self._known_at = seconds, now
        return Fresh(seconds)


@dataclass(slots=True)
class AgainstItself:
    """The exchange shows all that it emitted: it is fresh while it can be asked."""

    said: Callable[[], Said | None]
    clock: Clock
    _began_at: float = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is known: it grows from here."""
        self._began_at = self.clock.monotonic()

    def mark(self) -> None:
        """See `Gauge`."""

    def wanted(self, _mark: None) -> dict[str, int]:
        """See `Gauge`."""
        return {}

    def read(self, _visible: Mapping[str, Sighting], _mark: None) -> Fresh:
        """See `Gauge`."""
        said = self.said()
        age = self.clock.monotonic() - (said.asked_at if said else self._began_at)
        return Fresh(0.0) if said and age <= RECENT_SECONDS else Fresh(age, EXCHANGE_UNSEEN)


@dataclass(frozen=True, slots=True)
class Unaided:
    """
    Where no exchange tells what was emitted: holds a stage against the first one.

    Attributes:
        first: What the first stage showed last; nothing for the first stage itself, and while it
            shows nothing: then the stage is held against its own newest.
    """

    first: Callable[[], Mapping[str, Sighting]]
    clock: Clock

    def mark(self) -> Mapping[str, Sighting]:
        """See `Gauge`."""
        return active_keys(self.first())

    def wanted(self, mark: Mapping[str, Sighting]) -> dict[str, int]:
        """See `Gauge`."""
        return {key: one.sequence for key, one in mark.items()}

    def read(self, visible: Mapping[str, Sighting], mark: Mapping[str, Sighting]) -> Fresh:
        """See `Gauge`."""
        active = mark or active_keys(visible)
        seconds = unaided_freshness_seconds(visible, active, self.clock.now())
        return Fresh(seconds, EMPTY if seconds is None else None)
