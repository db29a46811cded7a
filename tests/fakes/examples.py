"""One example of every kind of fault, for tests that run all of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from k2chaos.system.faults import Fault
from k2chaos.system.faults.feed import FEED_FAULTS, Burst, FeedFault
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

PEER: Final = "peer"
"""The service at the other end of a network fault, of the same project."""


def _peers(target: Any) -> tuple[Any, ...]:
    return (replace(target, service=PEER),)


EXAMPLES: Final[Mapping[str, Callable[[Any], Fault]]] = {
    "pause": Pause,
    "stop": Stop,
    "kill": Kill,
    "crash": Crash,
    "restart": Restart,
    "freeze-process": lambda target: Freeze(target, "sh"),
    "squeeze-cpu": SqueezeCpu,
    "squeeze-memory": lambda target: SqueezeMemory(target, 2),
    "squeeze-processes": SqueezeProcesses,
    "partition": lambda target: Partition(target, _peers(target)),
    "isolate": lambda target: Isolate(target, _peers(target)),
    "black-hole": lambda target: BlackHole(target, _peers(target)),
    "reset-connections": lambda target: ResetConnections(target, _peers(target)),
    "reorder-packets": lambda target: ReorderPackets(target, _peers(target)),
    "duplicate-packets": lambda target: DuplicatePackets(target, _peers(target)),
    "limit-bandwidth": lambda target: LimitBandwidth(target, _peers(target)),
    "fail-names": FailNames,
    "delay-packets": lambda target: DelayPackets(target, _peers(target)),
    "lose-packets": lambda target: LosePackets(target, _peers(target)),
}
"""The name of a kind, and what makes an example of it on a container."""
BETWEEN: Final = frozenset(
    {"partition", "isolate", "black-hole", "reset-connections", "lose-packets", "delay-packets",
     "reorder-packets", "duplicate-packets", "limit-bandwidth"}
)  # fmt: skip
"""The kinds whose example needs the peer."""
NETWORKED: Final = BETWEEN | {"fail-names"}
"""The kinds whose example needs a network in which the engine answers for names."""

_OF_THE_FEED: Final[tuple[type[FeedFault], ...]] = (*FEED_FAULTS, Burst)
FEED_EXAMPLES: Final[Mapping[str, Callable[[Any], Fault]]] = {one.kind: one for one in _OF_THE_FEED}
"""The same, on the feed of an exchange."""

DATA_EXAMPLES: Final[Mapping[str, Callable[[Any], Fault]]] = {
    "starve-writes": StarveWrites,
    "squeeze-record-size": SqueezeRecordSize,
    "join-group": JoinGroup,
    "impersonate-sink": ImpersonateSink,
    "conflict-commits": ConflictCommits,
    "poison-records": PoisonRecords,
    "oversized-record": OversizedRecord,
}
"""The same, on a topic or a table."""
OF_THE_TABLE: Final = frozenset({"conflict-commits"})
"""The kinds of those that are the table's."""
