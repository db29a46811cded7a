"""
The topic as the observer looks at it: the tails of all partitions, pushed.

Each look asks the broker where the partitions end, which tells that it answers and how long that
took; the records have come by then, or are not visible.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from k2chaos.evidence.freshness import Sighting, advance
from k2chaos.pipeline import Record, Topic
from k2chaos.system.avro import Decoder
from k2chaos.system.kafka.following import Follower
from k2chaos.system.observer.stage import Shown
from k2chaos.system.registries import Registries
from k2chaos.system.topic import TopicClient

_SECONDS = 5.0


@dataclass(slots=True)
class TopicLook:
    """Follows one topic; decodes no more of a record than which one it is."""

    topic: Topic
    record: Record
    _client: TopicClient = field(init=False)
    _decoder: Decoder = field(init=False)
    _follower: Follower | None = None
    _values: list[bytes | None] = field(default_factory=list)
    _newest: dict[str, Sighting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Connect to nothing yet."""
        identity = replace(self.record, content=())
        self._client = TopicClient(self.topic, identity, _SECONDS)
        self._decoder = Decoder(Registries.at(self.topic.registry, _SECONDS), identity)

    def ask(self, wanted: Mapping[str, int]) -> Shown:
        """What the topic shows; keys that are *wanted* and were never seen are searched for."""
        ends = self._client.end_offsets()
        if self._follower is None or self._follower.partitions != ends.keys():
            self._follow(ends, wanted)
        self._take()
        if missing := wanted.keys() - self._newest.keys():
            advance(self._newest, self._client.newest(missing))
        return Shown(dict(self._newest))

    def _follow(self, ends: Mapping[int, int], wanted: Mapping[str, int]) -> None:
        """Follow from *ends* on; what is newest before is read backwards, once."""
        newest = self._client.newest(wanted)
        if self._follower is not None:
            self._follower.close()
        self._follower = Follower(self.topic, ends)
        self._newest, self._values = dict(newest), []

    def _take(self) -> None:
        """Decode what has come; kept for the next look where the registry does not answer."""
        assert self._follower is not None, "followed before"
        self._values += self._follower.taken()
        if self._values:
            advance(self._newest, self._decoder.newest(self._values))
            self._values = []
        if self._follower.is_broken:
            self._follower.close()
            self._follower = None
