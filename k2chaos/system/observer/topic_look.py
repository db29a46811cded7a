"""
The topic as the observer looks at it: the tails of all partitions, pushed.

What comes proves by itself that the topic can be seen. While nothing comes the broker is asked
where the partitions end, which tells a topic at rest from a broker that does not answer; a record
that comes before the answer ends the wait.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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
_WAIT_SECONDS: Final = 0.02
"""How long one wait for records is, between two looks at whether the broker has answered."""
ASK_SECONDS: Final = 1.0
"""How often the broker is asked at least: for new partitions, and for what does not come."""
STUCK_SECONDS: Final = 2.0
"""
How long a partition may have more than has come while nothing comes: fifteen times what pushing
takes. A broker that was frozen can leave a client behind that waits for ever.
"""

_Ends = Mapping[int, int]


@dataclass(slots=True)
class TopicLook:
    """
    Follows one topic; decodes no more of a record than which one it is.

    Attributes:
        follow: Begins to follow a topic from given offsets on.
        client: Asks the broker.
    """

    topic: Topic
    record: Record
    clock: Clock
    follow: Callable[[Topic, _Ends], Follower] = Follower
    client: TopicClient | None = None
    _client: TopicClient = field(init=False)
    _decoder: Decoder = field(init=False)
    _asker: ThreadPoolExecutor = field(init=False)
    _asked: "Future[dict[int, int]] | None" = None
    _asked_at: float = 0.0
    _follower: Follower | None = None
    _values: list[bytes | None] = field(default_factory=list)
    _newest: dict[str, Sighting] = field(default_factory=dict)
    _waiting: dict[int, tuple[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Connect to nothing yet."""
        identity = replace(self.record, content=())
        self._client = self.client or TopicClient(self.topic, identity, _SECONDS)
        self._decoder = Decoder(Registries.at(self.topic.registry, _SECONDS), identity)
        self._asker = ThreadPoolExecutor(1)

    def ask(self, wanted: Mapping[str, int]) -> Shown:
        """What the topic shows; keys that are *wanted* and were never seen are searched for."""
        follower = self._follower or self._follow(wanted)
        has_come = self._take(follower, 0)
        if not has_come or self.clock.monotonic() - self._asked_at >= ASK_SECONDS:
            self._ask_broker()
        while not (has_come or self._has_answered()):
            has_come = self._take(follower, _WAIT_SECONDS)
        if self._has_answered():
            self._hear(follower, has_come=has_come)
        if missing := wanted.keys() - self._newest.keys():
            advance(self._newest, self._client.newest(missing))
        return Shown(dict(self._newest))

    def close(self) -> None:
        """Disconnect."""
        self._asker.shutdown()
        self._drop()
        self._client.close()

    def _ask_broker(self) -> None:
        """Where the partitions end; one question at a time, in a thread of its own."""
        if self._asked is None:
            self._asked = self._asker.submit(self._client.end_offsets)
            self._asked_at = self.clock.monotonic()

    def _has_answered(self) -> bool:
        return self._asked is not None and self._asked.done()

    def _hear(self, follower: Follower, *, has_come: bool) -> None:
        """
        Begin anew where partitions were added, and where what is there does not come.

        Raises:
            StageError: It was not answered, and nothing came that would prove the contrary.
        """
        asked, self._asked = self._asked, None
        assert asked is not None, "answered"
        if has_come and asked.exception() is not None:
            return
        ends = asked.result()
        is_other = follower.positions.keys() != ends.keys()
        if is_other or follower.is_broken or self._is_stuck(follower, ends):
            self._drop()

    def _follow(self, wanted: Mapping[str, int]) -> Follower:
        """Follow from the ends on; what is newest before them is read backwards, once."""
        ends = self._client.end_offsets()
        newest = self._client.newest(wanted)
        self._follower = self.follow(self.topic, ends)
        self._newest, self._values = dict(newest), []
        return self._follower

    def _drop(self) -> None:
        """Follow no more: the next look begins anew, and reads what did not come."""
        if self._follower is not None:
            self._follower.close()
            self._follower = None
        self._waiting = {}

    def _take(self, follower: Follower, seconds: float) -> bool:
        """
        Decode what has come, or comes within *seconds*; whether anything has.

        Kept for the next look where the registry does not answer.
        """
        self._values += follower.taken(seconds)
        if not self._values:
            return False
        advance(self._newest, self._decoder.newest(self._values))
        self._values = []
        return True

    def _is_stuck(self, follower: Follower, ends: _Ends) -> bool:
        """Whether a partition has had more than has come for too long, and nothing came of it."""
        now = self.clock.monotonic()
        behind = {one: at for one, at in follower.positions.items() if at < ends[one]}
        before, self._waiting = self._waiting, {}
        for partition, at in behind.items():
            was_at, since = before.get(partition, (at, now))
            self._waiting[partition] = (at, since if was_at == at else now)
        return any(now - since > STUCK_SECONDS for _, since in self._waiting.values())
