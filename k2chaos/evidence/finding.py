"""One broken property, as the judge found it and as evidence stores it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

Anomaly = Literal[
    "lost",
    "duplicated",
    "reordered",
    "corrupted",
    "phantom",
    "stale",
    "backwards",
    "torn",
    "diverged",
    "quarantined",
    "late",
    "schema",
    "misreported",
]

ANOMALIES: Final[Mapping[Anomaly, str]] = {
    "lost": "A record that was emitted, or that the stage before shows, is not there.",
    "duplicated": "A record is there more often than at the stage before.",
    "reordered": "A record came to the topic after one of the same key with a higher number.",
    "corrupted": "What a record says differs from what it said at the stage before.",
    "phantom": "A record is there that was never emitted.",
    "stale": "The API answered without a record that the table had shown for longer than the"
    " budget for serving.",
    "backwards": "The newest record of a key that the API shows is older than one shown before.",
    "torn": "An answer of the API lacks a record between two of the same key that it shows: part of"
    " what was written at once is visible.",
    "diverged": "The sink's group committed an offset beyond a record that is not in the table: it"
    " will not be read again.",
    "quarantined": "A valid record was put into the dead-letter topic.",
    "late": "A record that was missing at the deadline was there afterwards.",
    "schema": "A value in the topic is not valid against the registered schema.",
    "misreported": "A service called itself healthy while its stage was over budget, or unhealthy"
    " for good while all was well.",
}
"""Every anomaly that a finding can name, and what it means."""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    A promise that the records break.

    Attributes:
        stage: Where it is seen.
        at: The role at which it happened; joined by " or " where a stage between two that could
            be read could not, ``serving`` between table and api.
        count: How many records (of ``duplicated``: how many copies too many; of what is seen in
            samples: how many of them).
        examples: Up to ten, ``{"key": ..., "sequence": ...}`` where a record is meant.
        window: First and last event time of the records concerned, ISO 8601 in UTC; of lost
            records that no stage shows, the times of their neighbours. ``None``: not known.
        before_fault: Whether it had happened before the first fault, which then is not to blame.
    """

    anomaly: Anomaly
    stage: str
    at: str
    count: int
    examples: tuple[Mapping[str, Any], ...] = ()
    window: tuple[str | None, str | None] = (None, None)
    before_fault: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as it stands in ``verdict.json``."""
        return {
            "anomaly": self.anomaly,
            "stage": self.stage,
            "at": self.at,
            "count": self.count,
            "window": list(self.window),
            "before_fault": self.before_fault,
            "examples": [dict(example) for example in self.examples],
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        first, last = tree["window"]
        return cls(
            anomaly=tree["anomaly"],
            stage=tree["stage"],
            at=tree["at"],
            count=tree["count"],
            examples=tuple(tree["examples"]),
            window=(first, last),
            before_fault=tree["before_fault"],
        )
