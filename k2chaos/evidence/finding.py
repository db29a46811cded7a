"""One broken property, as the judge found it and as evidence stores it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

Anomaly = Literal["lost", "duplicated", "phantom", "reordered"]


@dataclass(frozen=True, slots=True)
class Finding:
    """
    A promise that the records break.

    Attributes:
        stage: Where it is seen.
        at: The role at which it happened; joined by " or " where a stage between two that could
            be read could not, ``serving`` between table and api.
        count: How many records (of ``duplicated``: how many copies too many).
        examples: Up to ten ``{"key": ..., "sequence": ...}``.
        window: First and last event time of the records concerned, ISO 8601 in UTC; of lost
            records that no stage shows, the times of their neighbours. ``None``: not known.
    """

    anomaly: Anomaly
    stage: str
    at: str
    count: int
    examples: tuple[Mapping[str, Any], ...] = ()
    window: tuple[str | None, str | None] = (None, None)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as it stands in ``verdict.json``."""
        return {
            "anomaly": self.anomaly,
            "stage": self.stage,
            "at": self.at,
            "count": self.count,
            "window": list(self.window),
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
        )
