"""
Everything that speaks with the broker; the only importer of confluent_kafka.

`log` reads a topic and leaves no trace. `control` does what faults do to the topic and to the
sink's group, `members` joins groups, `wire` asks what librdkafka cannot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from k2chaos.pipeline import Topic

TAG_HEADER: Final = "k2chaos"
"""The header that every record of ours bears; its value is the injection's tag."""


@dataclass(frozen=True, slots=True)
class Member:
    """
    One member of a consumer group, by the coordinator's account.

    Attributes:
        instance_id: Its static name; empty where it has none.
        partitions: How many it holds.
    """

    member_id: str
    client_id: str
    instance_id: str
    partitions: int


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """
    The largest record batch that the topic takes.

    Attributes:
        override: What was set on the topic itself; ``None`` where the broker's default holds.
    """

    effective: int
    override: str | None


class TopicControl(Protocol):
    """What faults may do to a topic. The fake in `tests.fakes` keeps state like a broker."""

    topic: Topic

    def grown_in(self, seconds: float) -> int:
        """How many records were written to the topic in the next *seconds*."""

    def byte_rate(self, client_id: str) -> float | None:
        """The quota of what a client may write; see `Wire.byte_rate`."""

    def set_byte_rate(self, client_id: str, rate: float | None) -> None:
        """Set it; ``None`` removes it."""

    def size_limit(self) -> SizeLimit:
        """The topic's ``max.message.bytes``."""

    def set_size_limit(self, override: str | None) -> None:
        """Set it on the topic; ``None`` removes it there."""

    def refuses(self, size: int) -> bool:
        """Whether the broker calls a batch of *size* bytes too large; writes nothing."""

    def members(self) -> tuple[Member, ...]:
        """Who is in the sink's group."""

    def join(self, client_id: str, longest_seconds: float, instance_id: str = "") -> None:
        """
        Be a member of the sink's group, in a thread of this process, until `expel`.

        Returns when the coordinator gave it a place, or did not for some seconds.

        Args:
            longest_seconds: After which it ends by itself, whatever became of its holder.
            instance_id: The static name to join under.
        """

    def times_joined(self, client_id: str) -> int:
        """How often this process was given a place as *client_id*."""

    def holds_place(self, client_id: str) -> bool:
        """
        Whether the coordinator lists an id that it gave to that member of this process.

        One that was fenced, and is about to come back, is waited for some seconds.
        """

    def expel(self, client_id: str) -> None:
        """End that member here, and have the coordinator remove what it lists under the name."""

    def write(self, values: Sequence[bytes], tag: str) -> tuple[str, ...]:
        """Write *values*, marked with *tag*; for each one what was said: empty, or an error."""

    def marked(self, tag: str, since: int) -> int:
        """How many records with that mark lie in the topic from offset *since* on."""

    def end_offset(self) -> int:
        """The next offset of the partition that `write` writes to."""

    def sample(self) -> bytes | None:
        """A value that the source wrote; ``None`` where the topic is empty."""
