"""
Faults of the topic's broker: settings that starve or refuse the source's writes.

Witness of both: what the broker does with records, asked beside the setting; the setting alone is
what the injection wrote. What was set before is restored exactly, "nothing" included.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Final, Self

from k2chaos.errors import TargetNotReady
from k2chaos.system.faults import System, Witnessed, new_tag
from k2chaos.system.kafka import TopicControl
from k2chaos.system.runtime import Endpoint

LANDING_SECONDS: Final = 10.0
"""As long as a request to the broker may be under way when its sender dies."""

_FLOW_SECONDS: Final = 1.0
_GLIMPSE_SECONDS: Final = 0.25
_GLIMPSES: Final = 4
_FEWEST_RECORDS: Final = 10
_SMALLEST_BATCH: Final = 62


@dataclass(frozen=True, slots=True)
class StarveWrites:
    """
    Producers may write so few bytes a second that the topic hardly grows (a client quota).

    Witness: the topic grew by less than half of what it grew before, in at least one of four
    glimpses of 0.25 s: a starved producer writes in bursts; while our quota is in force. Healed by
    the quota of before, or none; gone when the broker has it. What the broker already put off it
    still puts off: a producer writes again after its own request timeout at the latest.
    """

    kind: ClassVar[str] = "starve-writes"
    stage: ClassVar[str] = "topic"
    does: ClassVar[str] = "limit producers to a few bytes a second, by a quota of the broker"
    undone_by: ClassVar[str] = "restore the quota of before, or none"
    marks: ClassVar[tuple[str, str]] = ("", "")
    lead_seconds: ClassVar[float] = 0.0
    heal_lead_seconds: ClassVar[float] = 0.0

    target: Endpoint
    bytes_per_second: float = 1000.0
    client_id: str = ""
    rate_before: float | None = None
    flow_before: float = 0.0
    tag: str = field(default_factory=new_tag)

    @property
    def landing_seconds(self) -> float:
        """As long as a request to the broker may take."""
        return LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """Records must flow, or nobody could tell starved from idle."""
        topic = system.endpoints.topic()
        flow = topic.grown_in(_FLOW_SECONDS) / _FLOW_SECONDS
        if flow < _FEWEST_RECORDS:
            message = (
                f"{self.kind} of {self.target} not begun: only {flow:g} records a second are "
                f"written, {_FEWEST_RECORDS} are needed to see that they stop"
            )
            raise TargetNotReady(message)
        before = topic.byte_rate(self.client_id)
        if before is not None and before <= self.bytes_per_second:
            message = f"{self.kind} not begun: the quota is {before:g} bytes a second already"
            raise TargetNotReady(message)
        return replace(self, rate_before=before, flow_before=flow)

    def inject(self, system: System, _at: datetime) -> None:
        """Set the quota."""
        system.endpoints.topic().set_byte_rate(self.client_id, self.bytes_per_second)

    def observe(self, system: System) -> Witnessed:
        """Struck while the topic hardly grows under our quota."""
        topic = system.endpoints.topic()
        rate = topic.byte_rate(self.client_id)
        seen: dict[str, Any] = {"quota_bytes_per_second": rate}
        if rate != self.bytes_per_second:
            return Witnessed(struck=False, active=False, seen=seen)
        flow = self._least_flow(topic)
        seen |= {"records_per_second": flow, "records_per_second_before": self.flow_before}
        return Witnessed(flow < self.flow_before / 2, active=True, seen=seen)

    def _least_flow(self, topic: TopicControl) -> float:
        flow = self.flow_before
        for _ in range(_GLIMPSES):
            flow = min(flow, topic.grown_in(_GLIMPSE_SECONDS) / _GLIMPSE_SECONDS)
            if flow < self.flow_before / 2:
                break
        return flow

    def heal(self, system: System) -> None:
        """Restore the quota, if it is still ours."""
        topic = system.endpoints.topic()
        if topic.byte_rate(self.client_id) == self.bytes_per_second:
            topic.set_byte_rate(self.client_id, self.rate_before)


@dataclass(frozen=True, slots=True)
class SqueezeRecordSize:
    """
    The topic takes only small batches of records (``max.message.bytes``); larger ones are refused.

    Witness: the broker calls a batch one byte above the limit too large, which it did not before.
    The batch is offered with a wrong checksum, so that it is never written. Healed by the setting
    of before, or none; gone when the broker calls that batch corrupt instead.
    """

    kind: ClassVar[str] = "squeeze-record-size"
    stage: ClassVar[str] = "topic"
    does: ClassVar[str] = "have the topic refuse all but small batches of records"
    undone_by: ClassVar[str] = "restore the topic's setting of before, or none"
    marks: ClassVar[tuple[str, str]] = ("", "")
    lead_seconds: ClassVar[float] = 0.0
    heal_lead_seconds: ClassVar[float] = 0.0

    target: Endpoint
    max_bytes: int = 100
    override_before: str | None = None
    tag: str = field(default_factory=new_tag)

    @property
    def landing_seconds(self) -> float:
        """As long as a request to the broker may take."""
        return LANDING_SECONDS

    @property
    def _probe_bytes(self) -> int:
        return max(self.max_bytes + 1, _SMALLEST_BATCH)

    def prepare(self, system: System) -> Self:
        """The topic must take more than it will."""
        topic = system.endpoints.topic()
        before = topic.size_limit()
        if topic.refuses(self._probe_bytes):
            message = (
                f"{self.kind} of {self.target} to {self.max_bytes} bytes not begun: it takes no "
                f"more than {before.effective} already"
            )
            raise TargetNotReady(message)
        return replace(self, override_before=before.override)

    def inject(self, system: System, _at: datetime) -> None:
        """Set the limit."""
        system.endpoints.topic().set_size_limit(str(self.max_bytes))

    def observe(self, system: System) -> Witnessed:
        """Struck while the broker refuses what it took before."""
        topic = system.endpoints.topic()
        refused = topic.refuses(self._probe_bytes)
        limit = topic.size_limit()
        seen = {
            "offered_bytes": self._probe_bytes,
            "too_large": refused,
            "max_message_bytes": limit.effective,
        }
        is_ours = limit.override == str(self.max_bytes) != self.override_before
        return Witnessed(refused, refused or is_ours, seen)

    def heal(self, system: System) -> None:
        """Restore the setting, if it is still ours."""
        topic = system.endpoints.topic()
        if topic.size_limit().override == str(self.max_bytes):
            topic.set_size_limit(self.override_before)
