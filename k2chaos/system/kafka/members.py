"""
Members of the sink's group that are ours: each lives in a thread of this process.

When the process dies the broker misses their heartbeats, and gives their partitions back after the
session timeout: nothing has to be healed for it.
"""

import logging
import threading
from collections.abc import Mapping
from typing import Any, Final

from k2chaos.clock import Clock

_SESSION_SECONDS: Final = 6
"""The shortest that a broker allows by default."""
_POLL_SECONDS: Final = 0.1
_FENCED: Final = ("FENCED_INSTANCE_ID", "_FATAL")

_members: dict[str, "_Membership"] = {}
_lock: Final = threading.Lock()
_silent: Final = logging.getLogger("k2chaos.kafka.members")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


def member_options(group: str, assignor: str) -> dict[str, Any]:
    """What a member that takes partitions and leaves them alone is configured with."""
    return {
        "group.id": group,
        "partition.assignment.strategy": assignor,
        "session.timeout.ms": _SESSION_SECONDS * 1000,
        "heartbeat.interval.ms": 1000,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "latest",
    }


def start_member(
    name: str, options: Mapping[str, Any], topic: str, longest_seconds: float, clock: Clock
) -> None:
    """Join, as *name* among ours; it leaves by itself after *longest_seconds*."""
    with _lock:
        _members[name] = _Membership(options, topic, longest_seconds, clock)


def stop_member(name: str) -> None:
    """Poll no more; one that is not ours, or no longer, is nobody's."""
    with _lock:
        member = _members.get(name)
    if member is not None:
        member.stop()


def is_alive(name: str) -> bool:
    """Whether our member *name* still keeps its place, or comes back to it."""
    with _lock:
        member = _members.get(name)
    return member is not None and member.is_alive


def ids_of(name: str) -> tuple[str, ...]:
    """The ids that the coordinator gave our member *name*, the last one last."""
    with _lock:
        member = _members.get(name)
    return tuple(member.ids) if member else ()


class _Membership:
    """One member, and the thread that keeps its place."""

    def __init__(
        self, options: Mapping[str, Any], topic: str, longest_seconds: float, clock: Clock
    ) -> None:
        self.ids: list[str] = []
        self._options = dict(options)
        self._topic = topic
        self._clock = clock
        # Should whoever holds the fault hang: the thread would keep its place for ever.
        self._until = clock.monotonic() + longest_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="k2chaos-member", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(10.0)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def _is_over(self) -> bool:
        return self._stopped.is_set() or self._clock.monotonic() > self._until

    def _run(self) -> None:
        """Be in the group; who was fenced by the one it impersonates comes back."""
        while not self._is_over:
            self._be_in_group()
            self._stopped.wait(_POLL_SECONDS)

    def _be_in_group(self) -> None:
        import confluent_kafka

        fenced = threading.Event()

        def judge(error: Any) -> None:
            if error.fatal() or error.name() in _FENCED:
                fenced.set()

        options = {**self._options, "error_cb": judge}
        consumer = confluent_kafka.Consumer(options, logger=_silent)
        consumer.subscribe([self._topic], on_assign=self._take, on_lost=self._lose)
        try:
            while not (self._is_over or fenced.is_set()):
                message = consumer.poll(_POLL_SECONDS)
                if message is not None and (error := message.error()) is not None:
                    judge(error)
        finally:
            consumer.close()

    def _take(self, consumer: Any, partitions: Any) -> None:
        """Hold the partitions, and read nothing of them."""
        consumer.assign(partitions)
        consumer.pause(partitions)
        self.ids.append(consumer.memberid())

    def _lose(self, consumer: Any, _partitions: Any) -> None:
        """Removed by somebody: a heal in another process, which is not to be fought."""
        consumer.unassign()
        if "group.instance.id" not in self._options:
            self._stopped.set()
