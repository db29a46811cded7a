"""A topic with its group, and a table, that faults can disturb; each can be told to be broken."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from k2chaos.errors import Unsupported
from k2chaos.pipeline import Topic
from k2chaos.system.exchange import ExchangeClient
from k2chaos.system.kafka import Member, SizeLimit
from k2chaos.system.table_control import Commit

_DEFAULT_BYTES = 1_048_588
_BYTES_A_RECORD = 100


@dataclass
class FakeTopicControl:
    """
    A broker's side of one topic, into which somebody writes 100 records a second.

    Attributes:
        ignores: The settings and requests that are accepted and have no effect.
    """

    topic: Topic
    records_per_second: float = 100.0
    rates: dict[str, float] = field(default_factory=dict)
    override: str | None = None
    group: list[Member] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    ignores: set[str] = field(default_factory=set)
    is_joined: bool = False
    joined: int = 0
    longest_seconds: float = 0.0
    sampled: bytes | None = bytes(50)

    def grown_in(self, seconds: float) -> int:
        rate = self.rates.get("")
        flow = self.records_per_second
        if rate is not None and "quota" not in self.ignores:
            flow = min(flow, rate / _BYTES_A_RECORD)
        return round(flow * seconds)

    def byte_rate(self, client_id: str) -> float | None:
        return self.rates.get(client_id)

    def set_byte_rate(self, client_id: str, rate: float | None) -> None:
        if rate is None:
            self.rates.pop(client_id, None)
        else:
            self.rates[client_id] = rate

    def size_limit(self) -> SizeLimit:
        return SizeLimit(int(self.override or _DEFAULT_BYTES), self.override)

    def set_size_limit(self, override: str | None) -> None:
        self.override = override

    def refuses(self, size: int) -> bool:
        in_force = _DEFAULT_BYTES if "size" in self.ignores else self.size_limit().effective
        return size > in_force

    def members(self) -> tuple[Member, ...]:
        return tuple(self.group)

    def join(self, client_id: str, longest_seconds: float, instance_id: str = "") -> None:
        self.longest_seconds = longest_seconds
        if "join" in self.ignores:
            return
        self.is_joined, self.joined = True, self.joined + 1
        if instance_id:
            # As Kafka does it: a new id, and everything else stays what it was.
            (old,) = [one for one in self.group if one.instance_id == instance_id]
            self.group.remove(old)
            self.group.append(Member(f"id-{client_id}", old.client_id, instance_id, 40))
        else:
            self.group.append(Member(f"id-{client_id}", client_id, "", 20))

    def times_joined(self, client_id: str) -> int:
        return self.joined

    def holds_place(self, client_id: str) -> bool:
        ours = f"id-{client_id}"
        return self.joined > 0 and any(one.member_id == ours for one in self.group)

    def expel(self, client_id: str) -> None:
        self.is_joined = False
        if "leave" not in self.ignores:
            self.group = [one for one in self.group if one.member_id != f"id-{client_id}"]

    def write(self, values: Sequence[bytes], tag: str) -> tuple[str, ...]:
        said = tuple("MSG_SIZE_TOO_LARGE" if self.refuses(len(one)) else "" for one in values)
        if "write" not in self.ignores:
            self.records += [tag for one in said if not one]
        return said

    def marked(self, tag: str, since: int) -> int:
        return self.records[since:].count(tag)

    def end_offset(self) -> int:
        return len(self.records)

    def sample(self) -> bytes | None:
        return self.sampled


@dataclass
class FakeTableControl:
    """
    A table's history; whoever was told to commit does so at every look.

    Attributes:
        is_deaf: We are not heard.
        is_busy: Others commit, too.
    """

    moment: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC)
    history: list[Commit] = field(default_factory=list)
    committing: str = ""
    is_deaf: bool = False
    is_busy: bool = False
    longest_seconds: float = 0.0

    def now(self) -> datetime:
        """A second later at each look."""
        self.moment += timedelta(seconds=1)
        if self.committing:
            self.history.append(Commit(self.committing, self.moment, "append"))
        if self.is_busy:
            self.history.append(Commit("", self.moment, "append"))
        return self.moment

    def commits_since(self, moment: datetime) -> tuple[Commit, ...]:
        return tuple(one for one in self.history if one.at >= moment)

    def start_commits(self, tag: str, per_second: float, longest_seconds: float) -> None:
        self.longest_seconds = longest_seconds
        self.committing = "" if self.is_deaf else tag

    def stop_commits(self, tag: str) -> None:
        self.committing = ""


@dataclass(frozen=True)
class FakeEndpoints:
    """The endpoints of one pipeline."""

    topics: FakeTopicControl
    tables: FakeTableControl

    def address(self, stage: str) -> str | None:
        return None

    def exchange(self) -> ExchangeClient:
        message = "no exchange here"
        raise Unsupported(message)

    def topic(self) -> FakeTopicControl:
        return self.topics

    def table(self) -> FakeTableControl:
        return self.tables


def fake_endpoints() -> FakeEndpoints:
    """A topic with the lab's sink in its group, and a table."""
    topic = Topic("broker:9092", "trades", "trades.dlq", "sinks", ("http://registry",))
    sink = Member("id-sink", "consumer-crypto", "consumer-crypto-1", 40)
    return FakeEndpoints(FakeTopicControl(topic, group=[sink]), FakeTableControl())
