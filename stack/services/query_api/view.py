"""
What an answer is made from: a view of one snapshot, and how sure it is that this is the newest.

A view stays true for ever: it is what the table held as of a time. What passes is that it is the
newest. So a view that could not be confirmed for a while is still answered from, and the answer
says how old it is and that it is `degraded`; in headers, too, for those who read no bodies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pyiceberg.io import FileIO

from query_api import answers, census
from query_api.census import Census, Tally
from query_api.lake import File
from query_api.trades import Window

DEGRADED_SECONDS: Final = 5.0
"""A view is looked at every 0.5 s, which takes some 20 ms. Not confirmed for ten periods is no
hiccup: two looks that take 2 s each, one after the other, still fit in."""
STEADY_SECONDS: Final = 2.5
"""Once degraded, a look must be quicker than this to end it. Else looks of 3 s each would be
degraded just before each ends and not just after: two of them and the pause make 6.5 s."""


@dataclass(frozen=True, slots=True)
class View:
    """One snapshot, as far as it was read."""

    snapshot_id: int | None
    committed_at: datetime | None
    io: FileIO | None
    files: Mapping[str, File]
    window: Window
    rows: int
    counted: Mapping[str, Census] = field(default_factory=dict)
    totals: Mapping[census.Key, Tally] = field(default_factory=dict)

    @property
    def uncounted(self) -> int:
        """How many files were not looked into yet."""
        return len(self.files) - len(self.counted)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """
    A view, and when its snapshot was last known to be the current one.

    Attributes:
        at: Monotonic seconds.
        as_of: The same moment by the wall clock.
        is_late: It took so long to be confirmed that the next time may well be too late again.
    """

    view: View
    at: float
    as_of: datetime
    is_late: bool = False

    def renewed(self, view: View, at: float, as_of: datetime, now: float) -> Confirmed:
        """Confirm *view* as of *at*; it was found out at *now* (monotonic)."""
        is_late = self.is_doubtful(now) and now - at > STEADY_SECONDS
        return Confirmed(view, at, as_of, is_late)

    def is_doubtful(self, now: float) -> bool:
        """Tell whether the table may have moved on unnoticed."""
        return self.is_late or now - self.at > DEGRADED_SECONDS


@dataclass(frozen=True, slots=True)
class Standing:
    """A view, how old it is, and why it may no longer be the newest (empty: it is)."""

    confirmed: Confirmed
    age_seconds: float
    reason: str

    def meta(self, correlation_id: str) -> dict[str, Any]:
        """Say from which snapshot an answer is, and when that was known to be the current one."""
        told = {
            "correlation_id": correlation_id,
            "timestamp": answers.now(),
            "snapshot_id": self.confirmed.view.snapshot_id,
            "as_of": answers.instant(self.confirmed.as_of),
            "age_seconds": round(self.age_seconds, 3),
            "degraded": bool(self.reason),
        }
        return {**told, "reason": self.reason} if self.reason else told

    def headers(self) -> dict[str, str]:
        """
        Say the same in headers.

        ``Age`` as in RFC 9111, 5.1: whole seconds since what is told was confirmed at its origin.
        Not ``Warning: 110``, which that RFC made obsolete and clients and proxies drop.
        """
        return {
            "Age": str(int(self.age_seconds)),
            "X-Degraded": "true" if self.reason else "false",
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of a 200, and what it was made from."""

    body: bytes
    standing: Standing
