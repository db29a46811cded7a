"""
Faults: reversible changes, as values that can be written down.

Owns the protocol of a fault; `held` is the only way to hold one.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol, Self

from pydantic import TypeAdapter

from k2chaos.system.endpoints import Endpoints, NoEndpoints
from k2chaos.system.runtime import Container, Endpoint, Runtime


@dataclass(frozen=True, slots=True)
class System:
    """What a fault may reach: the runtime, and the endpoints of one pipeline."""

    runtime: Runtime
    endpoints: Endpoints = field(default_factory=NoEndpoints)


@dataclass(frozen=True, slots=True)
class Witnessed:
    """
    What the witness of a fault saw, once.

    Attributes:
        struck: The fault's effect was seen, now or (for an instantaneous fault) since `prepare`.
        active: Something is still broken.
        seen: The facts it was read from, as plain JSON.
        in_force: What struck is in force still, though its effect cannot be seen at every moment
            (memory that was squeezed may be given back); ``None`` where `struck` says it.
    """

    struck: bool
    active: bool
    seen: Mapping[str, Any] = field(default_factory=dict)
    in_force: bool | None = None

    @property
    def lasts(self) -> bool:
        """Whether a fault that struck has not ended."""
        return self.struck if self.in_force is None else self.in_force


class Fault(Protocol):
    """
    A reversible change.

    A witness is never the call that injected: `observe` asks the system, not this object.
    """

    kind: ClassVar[str]
    does: ClassVar[str]
    undone_by: ClassVar[str]

    marks: ClassVar[tuple[str, str]]
    """The engine's words for its beginning and its end; empty where it has none."""
    lead_seconds: ClassVar[float]
    """How long before its effect `inject` has to be called: what the way there takes."""
    heal_lead_seconds: ClassVar[float]
    """The same of `heal`; 0 where nobody says when the effect ended."""

    @property
    def tag(self) -> str:
        """What this one's marks in the system are told by; its id is ``<kind>-<tag>``."""

    @property
    def target(self) -> Container | Endpoint:
        """What is broken."""

    def prepare(self, system: System) -> Self:
        """Read what heal and witness will need; `TargetNotReady` where it may not start."""

    def inject(self, system: System, at: datetime, /) -> datetime | None:
        """
        Do it, once; when its effect began, where that is known already.

        Args:
            at: When its effect is to begin, `lead_seconds` from now or earlier. Only a fault
                that waits for itself (in a helper) looks at it.
        """

    def observe(self, system: System) -> Witnessed:
        """Ask the system what can be seen of the fault now."""

    @property
    def landing_seconds(self) -> float:
        """For how long after it was sent an injection may still take effect."""

    def heal(self, system: System) -> Mapping[str, Any] | None:
        """
        Undo it. Safe to call twice, safe after the container was replaced.

        Returns:
            What else was done for that, for the evidence.
        """


def new_tag() -> str:
    """Eight hexadecimal digits, random."""
    return secrets.token_hex(4)


def id_of(fault: Fault) -> str:
    """What the ledger, and people, call *fault*."""
    return f"{fault.kind}-{fault.tag}"


_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def adapter_of(kind: type[Any]) -> TypeAdapter[Any]:
    """Between the values of a kind and plain data; made once a kind, for that takes its time."""
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def fault_to_json(fault: Fault) -> dict[str, Any]:
    """*fault* as plain JSON, enough for another process to heal it."""
    fields = adapter_of(type(fault)).dump_python(fault, mode="json")
    return {"kind": fault.kind, **fields}


@dataclass(slots=True)
class Hold:
    """
    The record of one held fault, filled as it goes; times are aware UTC.

    Attributes:
        fault: As it was completed by `prepare`.
        begin_at: When its effect is to begin; ``None`` is as soon as it is prepared.
        sent_at: When the injection was called.
        began_at: When its effect began, by the engine's account where there is one.
        ended_at: When its effect ended, by the same account.
        injected_at: When the witness had seen it.
        healed_at: When the witness had seen it gone.
        held_from: The same by the monotonic clock, once it is on record.
        held_until: When it is to be undone, by the monotonic clock; ``None`` where nobody has said.
        held_seconds: From `injected_at` to the heal.
        witness: What was seen when it began, during, before and after the heal.
        ended_early: The witness did not see it at some look before the heal.
        watch_seconds: For how long after the heal it may still come back.
    """

    fault_id: str
    fault: Fault
    tried_at: datetime
    begin_at: datetime | None = None
    sent_at: datetime | None = None
    began_at: datetime | None = None
    ended_at: datetime | None = None
    injected_at: datetime | None = None
    healed_at: datetime | None = None
    held_from: float | None = None
    held_until: float | None = None
    held_seconds: float = 0.0
    inject_seconds: float = 0.0
    heal_seconds: float = 0.0
    witness: dict[str, Any] = field(default_factory=dict)
    ended_early: bool = False
    watch_seconds: float = 0.0

    @property
    def achieved_seconds(self) -> float:
        """How long the effect lasted, as exactly as is known; at least until its heal began."""
        if self.began_at is not None and self.injected_at is not None and self.ended_at is None:
            unseen = (self.injected_at - self.began_at).total_seconds()
            return self.held_seconds + max(0.0, unseen)
        if self.began_at is None or self.ended_at is None or self.ended_at < self.began_at:
            return self.held_seconds
        return (self.ended_at - self.began_at).total_seconds()

    @property
    def start_error_seconds(self) -> float | None:
        """How much later than asked the effect began; ``None`` where no instant was asked for."""
        if self.begin_at is None or self.began_at is None:
            return None
        return (self.began_at - self.begin_at).total_seconds()
