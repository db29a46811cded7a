"""
What was seen of a stage's records: columns, never objects.

Owns the shape in which every stage hands over its records, so that the judge can lay the stages
against each other. One row is one sighting: a record seen twice is two rows, in the order seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

RECORDS: Final = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("event_time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("digest", pa.int64()),
    ]
)
"""
Key (symbol), number within the key (trade id), event time: the record's identity and age; and what
its content comes to (`k2chaos.evidence.digest`), null where that is not known.
"""

MALFORMED: Final = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("tag", pa.string()),
    ]
)
"""
A value in the topic that is no record: where it lies, what is wrong with it, and the mark that it
bears where k2chaos wrote it.
"""

LETTERS: Final = pa.schema(
    [
        pa.field("partition", pa.int32()),
        pa.field("offset", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("key", pa.string()),
        pa.field("sequence", pa.int64()),
        pa.field("event_time", pa.timestamp("us", tz="UTC")),
    ]
)
"""
A letter in the dead-letter topic: where its record lies in the topic and why it is here, by its
headers; and which record it is, where its value says.
"""


@dataclass(frozen=True, slots=True)
class Window:
    """
    The records a run answers for, by key.

    Attributes:
        after: The last sequence before the window, by key.
        until: The last sequence of the window, by key. A key of ``until`` that ``after`` lacks
            began within the window: its first expected sequence is 1.
    """

    after: Mapping[str, int]
    until: Mapping[str, int]

    @property
    def expected(self) -> int:
        """How many records the window holds."""
        return sum(max(0, last - self.after.get(key, 0)) for key, last in self.until.items())
