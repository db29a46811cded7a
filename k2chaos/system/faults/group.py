"""
Faults of the sink's group: members that nobody invited.

They live in a thread of the process that holds the fault, and end with it: the coordinator, which
is the witness, misses a dead member's heartbeats and gives its partitions back after 6 s. Whoever
heals instead has the coordinator remove what is left.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Self

from k2chaos.errors import TargetNotReady
from k2chaos.system.faults import System, Witnessed, new_tag
from k2chaos.system.faults.topic import LANDING_SECONDS
from k2chaos.system.kafka import Member
from k2chaos.system.runtime import Endpoint


@dataclass(frozen=True, slots=True)
class JoinGroup:
    """
    A stranger joins the sink's group, is given partitions, and neither reads nor commits.

    Witness: the group's coordinator lists the member, with how many partitions it gave it. Healed
    by its leaving; gone when the coordinator lists it no longer.
    """

    kind: ClassVar[str] = "join-group"
    stage: ClassVar[str] = "topic"
    does: ClassVar[str] = "join the sink's group, take partitions and leave them unread"
    undone_by: ClassVar[str] = "leave the group"
    marks: ClassVar[tuple[str, str]] = ("", "")
    lead_seconds: ClassVar[float] = 0.0
    heal_lead_seconds: ClassVar[float] = 0.0

    target: Endpoint
    longest_seconds: float = 120.0
    tag: str = field(default_factory=new_tag)

    @property
    def _name(self) -> str:
        return f"k2chaos-{self.tag}"

    @property
    def landing_seconds(self) -> float:
        """As long as a request to the broker may take."""
        return LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """Somebody must be there to be robbed."""
        _require_members(system, self.kind)
        return self

    def inject(self, system: System, _at: datetime) -> None:
        """Join."""
        system.endpoints.topic().join(self._name, self.longest_seconds)

    def observe(self, system: System) -> Witnessed:
        """Struck while it holds partitions."""
        members = system.endpoints.topic().members()
        ours = [one for one in members if one.client_id == self._name]
        holds = sum(one.partitions for one in ours)
        seen = {"members": len(members), "ours": len(ours), "partitions_taken": holds}
        return Witnessed(holds > 0, bool(ours), seen)

    def heal(self, system: System) -> None:
        """Leave, whichever process it lived in."""
        system.endpoints.topic().expel(self._name)


@dataclass(frozen=True, slots=True)
class ImpersonateSink:
    """
    An impostor joins the sink's group under the sink's own ``group.instance.id``.

    The coordinator fences the sink, which cannot go on as it is: it has to end and be started
    again, and then it fences the impostor, which comes back within a second or two.

    Witness: the coordinator lists the name, and the id that it gave to the impostor stands under
    it. Healed by its leaving; gone when another id, or none, stands under the name. Only the run
    that holds it knows the id, so while it lives nobody else can heal this; when it is dead nobody
    need, for the dead member's place is free after 6 s.
    """

    kind: ClassVar[str] = "impersonate-sink"
    stage: ClassVar[str] = "topic"
    does: ClassVar[str] = "join the sink's group under the sink's own instance id, so it is fenced"
    ends_with_its_run: ClassVar[bool] = True
    undone_by: ClassVar[str] = "leave the group"
    marks: ClassVar[tuple[str, str]] = ("", "")
    lead_seconds: ClassVar[float] = 0.0
    heal_lead_seconds: ClassVar[float] = 0.0

    target: Endpoint
    longest_seconds: float = 120.0
    instance_id: str = ""
    member_before: str = ""
    tag: str = field(default_factory=new_tag)

    @property
    def _name(self) -> str:
        return f"k2chaos-{self.tag}"

    @property
    def landing_seconds(self) -> float:
        """As long as a request to the broker may take."""
        return LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """The sink must have a static name."""
        named = [one for one in _require_members(system, self.kind) if one.instance_id]
        if not named:
            message = f"{self.kind}: no member of the sink's group has a group.instance.id"
            raise TargetNotReady(message)
        return replace(self, instance_id=named[0].instance_id, member_before=named[0].member_id)

    def inject(self, system: System, _at: datetime) -> None:
        """Take the sink's place."""
        system.endpoints.topic().join(self._name, self.longest_seconds, self.instance_id)

    def observe(self, system: System) -> Witnessed:
        """Struck while the place is ours, or is again a moment later."""
        topic = system.endpoints.topic()
        is_ours = topic.holds_place(self._name)
        taken = topic.times_joined(self._name)
        seen = {"instance_id": self.instance_id, "is_ours": is_ours, "times_taken": taken}
        return Witnessed(is_ours, is_ours, seen)

    def heal(self, system: System) -> None:
        """Leave."""
        system.endpoints.topic().expel(self._name)


def _require_members(system: System, kind: str) -> tuple[Member, ...]:
    topic = system.endpoints.topic()
    members = topic.members()
    if not members:
        message = f"{kind} not begun: nobody is in the group {topic.topic.group}"
        raise TargetNotReady(message)
    return members
