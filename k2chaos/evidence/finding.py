"""One broken property, as the judge found it and as evidence stores it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Self

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


class Meaning(NamedTuple):
    """
    What an anomaly is.

    Attributes:
        means: In a sentence.
        stages: Where it can be found.
        seen_in: Out of what it is found.
        named: What an example of it holds.
    """

    means: str
    stages: tuple[str, ...]
    seen_in: str
    named: str = "key, sequence"


_READ: Final = "the reading of every stage after the method"
_WATCHED: Final = "the observer's samples, answer by answer"
_ALL: Final = ("topic", "table", "api")

ANOMALIES: Final[Mapping[Anomaly, Meaning]] = {
    "lost": Meaning(
        "A record that was emitted, or that the stage before shows, is not there; or a value that"
        " nobody can read was passed by the sink without a letter to the dead-letter topic.",
        _ALL,
        _READ,
        "key, sequence; of a dropped value partition, offset, reason",
    ),
    "duplicated": Meaning("A record is there more often than at the stage before.", _ALL, _READ),
    "reordered": Meaning(
        "A record came to the topic after one of the same key with a higher number.",
        ("topic",),
        _READ,
    ),
    "corrupted": Meaning(
        "What a record says (its event time and `record.content` of the pipeline file) differs from"
        " what it said at the stage before, or at the exchange.",
        _ALL,
        _READ,
    ),
    "phantom": Meaning("A record is there that was never emitted.", _ALL, _READ),
    "late": Meaning(
        "A record that was not there at the deadline (the freshness budget, from when the stage is "
        "read) and was there before as long again had passed. What came not even then is lost.",
        _ALL,
        _READ,
    ),
    "quarantined": Meaning(
        "A valid record was put into the dead-letter topic, and not into the table.",
        ("table",),
        _READ,
    ),
    "diverged": Meaning(
        "The sink's group committed an offset beyond a record that is not in the table: it will not"
        " be read again. Told beside `lost`.",
        ("table",),
        _READ,
    ),
    "schema": Meaning(
        "A value in the topic is not valid against the registered schema, and k2chaos did not write"
        " it.",
        ("topic",),
        _READ,
        "partition, offset, reason",
    ),
    "stale": Meaning(
        "The API answered without a record that the table had shown for longer than"
        " `budgets.serving_seconds`, and did not call its answer degraded.",
        ("api",),
        _WATCHED,
        "key, sequence, the table's (table), seen_at",
    ),
    "backwards": Meaning(
        "The newest record of a key that the API shows is older than one it showed before.",
        ("api",),
        _WATCHED,
        "key, sequence, what it was before (was), seen_at",
    ),
    "torn": Meaning(
        "An answer of the API lacks a record between two of the same key that it shows, although"
        " the table has it: part of what was written at once is visible.",
        ("api",),
        _WATCHED,
        "key, sequence, seen_at",
    ),
    "misreported": Meaning(
        "A service called itself healthy while its stage was over budget and the stage before was"
        " not, or unhealthy for good while all was well.",
        _ALL,
        _WATCHED,
        "container, said, seconds",
    ),
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
