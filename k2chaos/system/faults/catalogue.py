"""
All kinds of faults and injections, by the name under which the ledger keeps them.

The action that asks for a kind has its name, with underscores.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from pydantic import ValidationError

from k2chaos.errors import FaultError
from k2chaos.system.faults import Fault, adapter_of
from k2chaos.system.faults.feed import FEED_FAULTS, Burst
from k2chaos.system.faults.freeze import Freeze
from k2chaos.system.faults.group import ImpersonateSink, JoinGroup
from k2chaos.system.faults.network.bandwidth import LimitBandwidth
from k2chaos.system.faults.network.connections import BlackHole, ResetConnections
from k2chaos.system.faults.network.delay import DelayPackets, ReorderPackets
from k2chaos.system.faults.network.duplicate import DuplicatePackets
from k2chaos.system.faults.network.lossy import LosePackets
from k2chaos.system.faults.network.names import FailNames
from k2chaos.system.faults.network.partition import Isolate, Partition
from k2chaos.system.faults.process import Crash, Kill, Pause, Restart, Stop
from k2chaos.system.faults.records import OversizedRecord, PoisonRecords
from k2chaos.system.faults.resources import SqueezeCpu, SqueezeMemory, SqueezeProcesses
from k2chaos.system.faults.table import ConflictCommits
from k2chaos.system.faults.topic import SqueezeRecordSize, StarveWrites

ACTIONS: Final = "k2chaos.actions"
"""The module whose functions experiments name to hold a fault."""
_KINDS: Final[tuple[type[Any], ...]] = (
    *(Pause, Stop, Kill, Crash, Restart, Freeze),
    *(SqueezeCpu, SqueezeMemory, SqueezeProcesses),
    *(Partition, Isolate, BlackHole, ResetConnections, FailNames),
    *(LosePackets, DelayPackets, ReorderPackets, DuplicatePackets, LimitBandwidth),
    *FEED_FAULTS,
    *(StarveWrites, SqueezeRecordSize, JoinGroup, ImpersonateSink, ConflictCommits),
)
FAULTS: Final[Mapping[str, type[Any]]] = {kind.kind: kind for kind in _KINDS}
"""A new kind of fault is one class in one of the modules beside this one, and its name here."""

INJECTIONS: Final[Mapping[str, type[Any]]] = {
    kind.kind: kind for kind in (Burst, PoisonRecords, OversizedRecord)
}
"""
What is held like a fault and is none, because what it did stays: records that were written, trades
that were made. `heal` ends it, and the evidence lists it apart.
"""


def kind_called(name: str) -> type[Any] | None:
    """The kind of fault or injection with that name; ``None`` where there is none."""
    return FAULTS.get(name) or INJECTIONS.get(name)


def kind_of_action(action: str) -> type[Any] | None:
    """What the *action* holds; ``None`` for an action that breaks nothing."""
    return kind_called(action.replace("_", "-"))


def kind_of_provider(provider: Mapping[Any, Any]) -> type[Any] | None:
    """What the *provider* of an activity holds; ``None`` for one that breaks nothing."""
    return kind_of_action(str(provider.get("func"))) if provider.get("module") == ACTIONS else None


def fault_from_json(value: Mapping[str, Any]) -> Fault:
    """
    The fault that `fault_to_json` wrote down.

    Raises:
        FaultError: A kind of another version, or a value that is not one.
    """
    kind = kind_called(str(value.get("kind")))
    fields = {name: content for name, content in value.items() if name != "kind"}
    try:
        if kind is None:
            message = f"kind {value.get('kind')!r} is not known to this version"
            raise FaultError(message)
        return cast("Fault", adapter_of(kind).validate_python(fields))
    except ValidationError as error:
        message = f"the ledger's {value.get('kind')} cannot be read: {error}"
        raise FaultError(message) from error
