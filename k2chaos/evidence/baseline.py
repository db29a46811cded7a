"""What stood when a run began: from here on its records count."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Baseline:
    """
    Where the window of a run begins.

    Attributes:
        started: The wall clock, aware UTC.
        last_ids: The newest sequence of each key: the exchange's, or without one what was newest
            at the first stage.
        topic_offsets: The topic's end offsets by partition, taken *before* ``last_ids``, so that
            every later record of the run lies behind them; ``None`` without a topic.
        letter_offsets: The dead-letter topic's, likewise.
    """

    started: datetime
    last_ids: Mapping[str, int]
    topic_offsets: Mapping[int, int] | None = None
    letter_offsets: Mapping[int, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, from which `from_json` makes an equal value."""
        offsets = self.topic_offsets
        return {
            "started": self.started.isoformat(),
            "last_ids": dict(self.last_ids),
            "topic_offsets": None if offsets is None else {str(k): v for k, v in offsets.items()},
            "letter_offsets": {str(k): v for k, v in self.letter_offsets.items()},
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        offsets = tree["topic_offsets"]
        return cls(
            started=datetime.fromisoformat(tree["started"]),
            last_ids=dict(tree["last_ids"]),
            topic_offsets=None if offsets is None else {int(k): v for k, v in offsets.items()},
            letter_offsets={int(k): v for k, v in tree["letter_offsets"].items()},
        )
