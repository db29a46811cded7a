"""
The topic as something that can be disturbed: quotas, settings, the sink's group, records of ours.

Every method raises `TargetNotReady` where the broker refuses, hangs or errs: a fault that cannot
be prepared is refused, one that cannot be healed is tried again.
"""

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from k2chaos.clock import SystemClock
from k2chaos.errors import TargetNotReady, Unsupported
from k2chaos.pipeline import Topic
from k2chaos.system.kafka import TAG_HEADER, Member, SizeLimit
from k2chaos.system.kafka.members import ids_of, is_alive, member_options, start_member, stop_member
from k2chaos.system.kafka.wire import Wire

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

_SIZE: Final = "max.message.bytes"
_BIGGEST: Final = 1_000_000_000
_JOIN_SECONDS: Final = 20.0
_RETURN_SECONDS: Final = 3.0
"""A fenced member notices at its next heartbeat, a second later at most, and joins again."""
_LOOK_SECONDS: Final = 0.2
_BY_TOPIC: Final = 1
"""Kafka's number for a value that was set on the topic itself."""


@functools.cache
def _kafka() -> Any:
    """The client library; 80 ms, paid when it is needed."""
    import confluent_kafka
    import confluent_kafka.admin

    return confluent_kafka


class KafkaControl:
    """
    `TopicControl` over a real broker.

    Args:
        topic: Where it is. The wire requests speak neither SASL nor TLS; `Unsupported` says so.
    """

    def __init__(self, topic: Topic, seconds: float = 5.0) -> None:
        """Connect to nothing yet."""
        self.topic = topic
        self.seconds = seconds
        self._clock = SystemClock()
        self._connected_admin: AdminClient | None = None

    def grown_in(self, seconds: float) -> int:
        """Two looks at the ends of all partitions."""
        before = sum(self._ends().values())
        self._clock.wait(seconds)
        return sum(self._ends().values()) - before

    def byte_rate(self, client_id: str) -> float | None:
        """Ask the broker."""
        return self._wire().byte_rate(client_id)

    def set_byte_rate(self, client_id: str, rate: float | None) -> None:
        """Tell the broker."""
        self._wire().set_byte_rate(client_id, rate)

    def size_limit(self) -> SizeLimit:
        """Ask the broker, which says where a value comes from."""
        entry = self._of(self._admin().describe_configs([self._resource()]))[_SIZE]
        override = entry.value if int(entry.source) == _BY_TOPIC else None
        return SizeLimit(int(entry.value), override)

    def set_size_limit(self, override: str | None) -> None:
        """Change this one setting and no other."""
        admin = _kafka().admin
        kinds = admin.AlterConfigOpType
        kind = kinds.DELETE if override is None else kinds.SET
        change = admin.ConfigEntry(_SIZE, override, incremental_operation=kind)
        resource = self._resource(incremental_configs=[change])
        self._of(self._admin().incremental_alter_configs([resource]))

    def refuses(self, size: int) -> bool:
        """Offer a batch that is corrupt to the leader of the first partition."""
        with self._translating("asking for leaders"):
            known = self._admin().list_topics(self.topic.name, timeout=self.seconds)
            leader = known.brokers[known.topics[self.topic.name].partitions[0].leader]
        return self._wire().refuses((str(leader.host), leader.port), self.topic.name, 0, size)

    def members(self) -> tuple[Member, ...]:
        """Ask the group's coordinator."""
        asked = self._admin().describe_consumer_groups([self.topic.group])
        return tuple(
            Member(
                one.member_id,
                one.client_id,
                one.group_instance_id or "",
                len(one.assignment.topic_partitions) if one.assignment else 0,
            )
            for one in self._of(asked).members
        )

    def join(self, client_id: str, longest_seconds: float, instance_id: str = "") -> None:
        """With the assignor that the group uses, for a member with another is refused."""
        group = self._of(self._admin().describe_consumer_groups([self.topic.group]))
        options = {
            **self._options(),
            **member_options(self.topic.group, group.partition_assignor or "range"),
            "client.id": client_id,
        }
        if instance_id:
            options["group.instance.id"] = instance_id
        start_member(client_id, options, self.topic.name, longest_seconds, self._clock)
        until = self._clock.monotonic() + _JOIN_SECONDS
        while not ids_of(client_id) and self._clock.monotonic() < until:
            self._clock.wait(_LOOK_SECONDS)

    def times_joined(self, client_id: str) -> int:
        """As often as the coordinator gave it partitions."""
        return len(ids_of(client_id))

    def holds_place(self, client_id: str) -> bool:
        """Known by the member's id: a static one is listed under its predecessor's client id."""
        until = self._clock.monotonic() + _RETURN_SECONDS
        while True:
            ours = ids_of(client_id)
            if any(one.member_id in ours for one in self.members()):
                return True
            if not is_alive(client_id) or self._clock.monotonic() >= until:
                return False
            self._clock.wait(_LOOK_SECONDS)

    def expel(self, client_id: str) -> None:
        """
        Stop polling, then leave.

        librdkafka lets no static member leave, and a static member that took another's place is
        listed under the other's client id: it is known by its member id.
        """
        stop_member(client_id)
        ours = ids_of(client_id)
        for one in self.members():
            if one.client_id == client_id or one.member_id in ours:
                wire = self._wire()
                wire.remove_member(self.topic.group, one.member_id, one.instance_id or None)

    def write(self, values: Sequence[bytes], tag: str) -> tuple[str, ...]:
        """To the first partition, without key; sizes are left to the broker to judge."""
        said: list[str] = []
        producer = _kafka().Producer(
            {**self._options(), "message.max.bytes": _BIGGEST, "message.timeout.ms": 10_000}
        )
        with self._translating("writing records"):
            for value in values:
                producer.produce(
                    self.topic.name,
                    value=value,
                    partition=0,
                    headers={TAG_HEADER: tag},
                    on_delivery=lambda error, _message: said.append(error.name() if error else ""),
                )
            producer.flush(self.seconds * 2)
        return (*said, *["unknown"] * (len(values) - len(said)))

    def marked(self, tag: str, since: int) -> int:
        """Read the first partition from *since* to its end."""
        wanted = (TAG_HEADER, tag.encode())
        return sum(wanted in (one.headers() or []) for one in self._read(since))

    def end_offset(self) -> int:
        """Of the first partition."""
        return self._ends()[0]

    def sample(self) -> bytes | None:
        """The last value of the first partition that has any, ours left out."""
        for number, end in self._ends().items():
            for one in self._read(max(0, end - 1), number):
                if one.value() and not one.headers():
                    return bytes(one.value())
        return None

    def _read(self, since: int, partition: int = 0) -> Iterator[Any]:
        kafka = _kafka()
        group = {"group.id": "k2chaos-looks", "enable.auto.commit": False}
        consumer = kafka.Consumer({**self._options(), **group, "auto.offset.reset": "earliest"})
        try:
            with self._translating("reading records"):
                at = kafka.TopicPartition(self.topic.name, partition, since)
                end = consumer.get_watermark_offsets(at, timeout=self.seconds)[1]
                consumer.assign([at])
                until = self._clock.monotonic() + self.seconds
                while since < end and self._clock.monotonic() < until:
                    message = consumer.poll(0.1)
                    if message is not None and message.error() is None:
                        since = message.offset() + 1
                        yield message
        finally:
            consumer.close()

    def _ends(self) -> dict[int, int]:
        kafka = _kafka()
        with self._translating("asking for offsets"):
            known = self._admin().list_topics(self.topic.name, timeout=self.seconds)
            numbers = sorted(known.topics[self.topic.name].partitions)
            latest = kafka.admin.OffsetSpec.latest()
            asked = {kafka.TopicPartition(self.topic.name, number): latest for number in numbers}
            found = self._admin().list_offsets(asked, request_timeout=self.seconds)
            return {one.partition: each.result().offset for one, each in found.items()}

    def _resource(self, **more: Any) -> Any:
        admin = _kafka().admin
        return admin.ConfigResource(admin.ConfigResource.Type.TOPIC, self.topic.name, **more)

    def _of(self, asked: dict[Any, "Future[Any]"]) -> Any:
        """The answer about the one thing that was asked for."""
        (future,) = asked.values()
        with self._translating("asking the broker"):
            return future.result(timeout=self.seconds * 2)

    def _admin(self) -> "AdminClient":
        if self._connected_admin is None:
            self._connected_admin = _kafka().admin.AdminClient(self._options())
        return self._connected_admin

    def _options(self) -> dict[str, Any]:
        return {
            "client.id": "k2chaos",
            **self.topic.options,
            "bootstrap.servers": self.topic.bootstrap,
            "socket.connection.setup.timeout.ms": 2000,
            "log_level": 0,
        }

    def _wire(self) -> Wire:
        protocol = str(self.topic.options.get("security.protocol", "plaintext"))
        if protocol.lower() != "plaintext":
            message = (
                f"topic {self.topic.name}: the broker wants {protocol}, and what this fault asks "
                "of it k2chaos can ask in plaintext only"
            )
            raise Unsupported(message)
        return Wire(self.topic.bootstrap, self.seconds)

    @contextmanager
    def _translating(self, what: str) -> Iterator[None]:
        """Turn librdkafka's exceptions into ours."""
        try:
            yield
        except (_kafka().KafkaException, TimeoutError, KeyError) as error:
            message = f"topic {self.topic.name} at {self.topic.bootstrap}: {what}: {error}"
            raise TargetNotReady(message) from error
