"""
Faults: reversible changes, as values that can be written down.

Owns the protocol of a fault; `held` is the only way to hold one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol, Self

from pydantic import TypeAdapter

from k2chaos.system.runtime import Container, Endpoint, Runtime


@dataclass(frozen=True, slots=True)
class System:
    """What a fault may reach: the runtime (and, later, the stage clients) of one pipeline."""

    runtime: Runtime


@dataclass(frozen=True, slots=True)
class Witnessed:
    """
    What the witness of a fault saw, once.

    Attributes:
        struck: The fault's effect was seen, now or (for an instantaneous fault) since `prepare`.
        active: Something is still broken.
        seen: The facts it was read from, as plain JSON.
    """

    struck: bool
    active: bool
    seen: Mapping[str, Any] = field(default_factory=dict)


class Fault(Protocol):
    """
    A reversible change.

    A witness is never the call that injected: `observe` asks the system, not this object.
    """

    kind: ClassVar[str]
    does: ClassVar[str]
    undone_by: ClassVar[str]

    @property
    def target(self) -> Container | Endpoint:
        """What is broken."""

    def prepare(self, system: System) -> Self:
        """Read what heal and witness will need; `TargetNotReady` where it may not start."""

    def inject(self, system: System) -> None:
        """Do it, once."""

    def observe(self, system: System) -> Witnessed:
        """Ask the system what can be seen of the fault now."""

    @property
    def landing_seconds(self) -> float:
        """For how long after it was sent an injection may still take effect."""

    def heal(self, system: System) -> None:
        """Undo it. Safe to call twice, safe after the container was replaced."""


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
        witness: What was seen while active, and after the heal.
        outcome: Something worth telling that is no error (*no restart policy: started by heal*).
    """

    fault_id: str
    fault: Fault
    tried_at: datetime
    injected_at: datetime | None = None
    healed_at: datetime | None = None
    held_seconds: float = 0.0
    inject_seconds: float = 0.0
    heal_seconds: float = 0.0
    witness: dict[str, Any] = field(default_factory=dict)
    ended_early: bool = False
    watch_seconds: float = 0.0
