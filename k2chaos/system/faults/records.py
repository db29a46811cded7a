"""
Injections into the topic: records that are none of the source's. What was written stays.

They carry a header ``k2chaos`` with the tag of the injection, hold no trade, and count for none.
Witness of both: the topic itself, read again from where it ended before. Nothing undoes them, so
`heal` does nothing.
"""

import struct
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Final, Literal, Self

from k2chaos.errors import FaultNotInjected, TargetNotReady
from k2chaos.system.faults import System, Witnessed, new_tag
from k2chaos.system.runtime import Endpoint

PoisonKind = Literal["bad-magic", "unknown-schema", "truncated"]
_UNKNOWN_SCHEMA: Final = 2**31 - 1
_HEADER_BYTES: Final = 5
_AROUND_BYTES: Final = 128
"""At most so much a batch adds to the one value in it."""


@dataclass(frozen=True, slots=True)
class PoisonRecords:
    """
    A few records that the sink cannot decode: not Confluent's format, a schema that nobody knows,
    or a record of the source cut in half.

    Witness: they are in the topic, behind where it ended before.
    """

    kind: ClassVar[str] = "poison-records"
    stage: ClassVar[str] = "topic"
    does: ClassVar[str] = "write a few records that cannot be decoded"
    undone_by: ClassVar[str] = "nothing: they stay in the topic, and hold no trade"
    marks: ClassVar[tuple[str, str]] = ("", "")
    lead_seconds: ClassVar[float] = 0.0
    heal_lead_seconds: ClassVar[float] = 0.0

    target: Endpoint
    poison: PoisonKind = "bad-magic"
    records: int = 1
    since: int = 0
    tag: str = field(default_factory=new_tag)

    @property
    def landing_seconds(self) -> float:
        """Nothing is undone, so nothing is waited for."""
        return 0.0

    def prepare(self, system: System) -> Self:
        """Where the topic ends now."""
        return replace(self, since=system.endpoints.topic().end_offset())

    def inject(self, system: System, _at: datetime) -> None:
        """Write them; `FaultNotInjected` where the broker does not take them."""
        topic = system.endpoints.topic()
        value = poisoned(self.poison, topic.sample())
        refused = {one for one in topic.write([value] * self.records, self.tag) if one}
        if refused:
            message = f"{self.kind}: the broker did not take them: {', '.join(sorted(refused))}"
            raise FaultNotInjected(message)

    def observe(self, system: System) -> Witnessed:
        """Struck once all are in the topic; nothing of it can be undone."""
        found = system.endpoints.topic().marked(self.tag, self.since)
        return Witnessed(found == self.records, active=False, seen={"records_in_topic": found})

    def heal(self, _system: System) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class OversizedRecord:
    """
    One record of many bytes, which the broker refuses, or takes; both are an outcome.

    Witness: where it was taken it is in the topic, undecodable; where it was refused the broker
    calls a batch of that size too large.
    """

    kind: ClassVar[str] = "oversized-record"
    stage: ClassVar[str] = "topic"
    does: ClassVar[str] = "write one record of many bytes, which the broker may refuse"
    undone_by: ClassVar[str] = "nothing: where it was taken it stays in the topic, undecodable"
    marks: ClassVar[tuple[str, str]] = ("", "")
    lead_seconds: ClassVar[float] = 0.0
    heal_lead_seconds: ClassVar[float] = 0.0

    target: Endpoint
    size: int = 2_000_000
    since: int = 0
    tag: str = field(default_factory=new_tag)

    @property
    def landing_seconds(self) -> float:
        """Nothing is undone, so nothing is waited for."""
        return 0.0

    def prepare(self, system: System) -> Self:
        """Where the topic ends now."""
        return replace(self, since=system.endpoints.topic().end_offset())

    def inject(self, system: System, _at: datetime) -> None:
        """Write it; what the broker says is seen by the witness."""
        system.endpoints.topic().write([b"\xff" * self.size], self.tag)

    def observe(self, system: System) -> Witnessed:
        """Struck once it is in the topic, or is known to be refused there."""
        topic = system.endpoints.topic()
        found = topic.marked(self.tag, self.since)
        refused = not found and topic.refuses(self.size + _AROUND_BYTES)
        seen = {"bytes": self.size, "records_in_topic": found, "too_large": refused}
        return Witnessed(found > 0 or refused, active=False, seen=seen)

    def heal(self, _system: System) -> None:
        """Nothing."""


def poisoned(poison: PoisonKind, sample: bytes | None) -> bytes:
    """
    A value that does not decode.

    Args:
        sample: A value of the source, of which a truncated one is made.
    """
    if poison == "bad-magic":
        return b"\xff" + bytes(_HEADER_BYTES - 1) + b"k2chaos"
    if poison == "unknown-schema":
        return struct.pack(">bI", 0, _UNKNOWN_SCHEMA) + b"k2chaos"
    if sample is None or len(sample) <= _HEADER_BYTES + 1:
        message = "poison-records: the topic holds no record of the source that could be cut"
        raise TargetNotReady(message)
    return sample[: _HEADER_BYTES + (len(sample) - _HEADER_BYTES) // 2]
