"""
The topic as the observer looks at it: the tails of all partitions, pushed.

Each look asks the broker where the partitions end, which tells that it answers and how long that
took; the records have come by then, or are not visible.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from k2chaos.clock import Clock
from k2chaos.evidence.freshness import Sighting, advance
from k2chaos.pipeline import Record, Topic
from k2chaos.system.avro import Decoder
from k2chaos.system.kafka.following import Follower
from k2chaos.system.observer.stage import Shown
from k2chaos.system.registries import Registries
from k2chaos.system.topic import TopicClient

_SECONDS: Final = 5.0
STUCK_SECONDS: Final = 2.0
"""
How long a partition may have more than has come while nothing comes: fifteen times what pushing
takes. A broker that was frozen can leave a client behind that waits for ever.
"""


@dataclass(slots=True)
class TopicLook:
    """
    Follows one topic; decodes no more of a record than which one it is.

    Attributes:
        follow: Begins to follow a topic from given offsets on.
    """

    topic: Topic
    record: Record
    clock: Clock
    follow: Callable[[Topic, Mapping[int, int]], Follower] = Follower
    _client: TopicClient = field(init=False)
    _decoder: Decoder = field(init=False)
    _follower: Follower | None = None
    _values: list[bytes | None] = field(default_factory=list)
    _newest: dict[str, Sighting] = field(default_factory=dict)
    _waiting: dict[int, tuple[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Connect to nothing yet."""
        identity = replace(self.record, content=())
        self._client = TopicClient(self.topic, identity, _SECONDS)
        self._decoder = Decoder(Registries.at(self.topic.registry, _SECONDS), identity)

    def ask(self, wanted: Mapping[str, int]) -> Shown:
        """What the topic shows; keys that are *wanted* and were never seen are searched for."""
        ends = self._client.end_offsets()
        follower = self._follower
        if follower is None or follower.positions.keys() != ends.keys():
            follower = self._follow(ends, wanted)
        self._take(follower)
        if follower.is_broken or self._is_stuck(follower, ends):
            self._drop()
        if missing := wanted.keys() - self._newest.keys():
            advance(self._newest, self._client.newest(missing))
        return Shown(dict(self._newest))

    def _follow(self, ends: Mapping[int, int], wanted: Mapping[str, int]) -> Follower:
        """Follow from *ends* on; what is newest before is read backwards, once."""
        newest = self._client.newest(wanted)
        self._drop()
        follower = self._follower = self.follow(self.topic, ends)
        self._newest, self._values = dict(newest), []
        return follower

    def _drop(self) -> None:
        """Follow no more: the next look begins anew, and reads what did not come."""
        if self._follower is not None:
            self._follower.close()
            self._follower = None
        self._waiting = {}

    def _take(self, follower: Follower) -> None:
        """Decode what has come; kept for the next look where the registry does not answer."""
        self._values += follower.taken()
        if self._values:
            advance(self._newest, self._decoder.newest(self._values))
            self._values = []

    def _is_stuck(self, follower: Follower, ends: Mapping[int, int]) -> bool:
        """Whether a partition has had more than has come for too long, and nothing came of it."""
        now = self.clock.monotonic()
        behind = {one: at for one, at in follower.positions.items() if at < ends[one]}
        before, self._waiting = self._waiting, {}
        for partition, at in behind.items():
            was_at, since = before.get(partition, (at, now))
            self._waiting[partition] = (at, since if was_at == at else now)
        return any(now - since > STUCK_SECONDS for _, since in self._waiting.values())
