"""
A fault's own chain in the packet filter of its target: made at once, found by its tag, removed.

Rules: nothing but the chain ``K2C-<tag>`` and the jumps to it is ever added or removed, so that the
faults of one namespace do not see each other. Chains live and die with the namespace: a container
that was restarted has none.

A packet that comes back from a queue goes on behind the hook that queued it, past the rules that
still stood there. So each kind of fault that queues has a hook of its own, and kinds can be
combined.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from k2chaos.system.runtime import FAULT_LABEL, Container, HelperCall, Runtime

HAND: Final = "hand"
"""The helper that waits in the target's namespace to apply the rules."""
_CAPABILITIES: Final = ("NET_ADMIN", "NET_RAW")
_REMOVE: Final = """for table in raw mangle security filter; do
  for hook in INPUT OUTPUT POSTROUTING; do
    while iptables -w 5 -t $table -D $hook -j {chain} 2>/dev/null; do :; done
  done
  iptables -w 5 -t $table -F {chain} 2>/dev/null && iptables -w 5 -t $table -X {chain} && was=there
done
if [ "$was" ]; then for peer in {peers}; do ss -K -H -t -n dst $peer; done; fi | wc -l"""
"""
``ss -K`` lists the connections that it reset; none is where the chain was not there. All tables are
looked through, because a ledger may be of another version.
"""
_LIST: Final = ("iptables-save",)


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where in the packet filter a chain is hooked.

    Attributes:
        hooks: The kernel's chains in the table.
        stage: Of those that queue: in which order a packet that is sent comes by them, from 1.
    """

    table: str
    hooks: tuple[str, ...]
    stage: int = 0

    @property
    def listing(self) -> tuple[str, ...]:
        """What lists its rules and their counts."""
        return ("iptables-save", "-c", "-t", self.table)


FILTER: Final = Place("filter", ("INPUT", "OUTPUT"))
DELAYS: Final = Place("raw", ("OUTPUT",), 1)
REORDERS: Final = Place("mangle", ("OUTPUT",), 2)
DUPLICATES: Final = Place("security", ("OUTPUT",), 3)
SHAPES: Final = Place("mangle", ("POSTROUTING",), 4)


def chain_of(tag: str) -> str:
    """The name of the chain of the fault *tag*."""
    return f"K2C-{tag}"


def place_hand(runtime: Runtime, target: Container, tag: str, command: tuple[str, ...]) -> None:
    """Start the helper that will apply the rules, and does *command* meanwhile."""
    call = HelperCall(command, capabilities=_CAPABILITIES, network_of=target)
    runtime.start_helper(call, tag, HAND)


def apply(runtime: Runtime, tag: str, place: Place, rules: Sequence[str], at: datetime) -> datetime:
    """Put *rules* into force at *at*; when they were."""
    chain = chain_of(tag)
    lines = [
        f"*{place.table}",
        f":{chain} - [0:0]",
        *(f"-A {chain} {rule}" for rule in rules),
        *(f"-I {hook} -j {chain}" for hook in place.hooks),
        "COMMIT\n",
    ]
    command = ("python3", "/opt/k2chaos/apply.py", str(at.timestamp()), "\n".join(lines))
    return datetime.fromtimestamp(float(runtime.tell_helper(tag, HAND, command)), UTC)


@dataclass(frozen=True, slots=True)
class Counted:
    """
    The kernel's counts of one chain.

    Attributes:
        dropped: Packets that its rules dropped.
        passing: Packets that its rules counted and let go on to the next rule.
    """

    dropped: int
    passing: int


def counted(runtime: Runtime, tag: str, place: Place) -> Counted | None:
    """What the kernel counted; ``None`` where the rules are not in force."""
    listing = runtime.tell_helper(tag, HAND, place.listing)
    chain = chain_of(tag)
    hooked = re.findall(rf"^\[\d+:\d+\] -A (\w+) -j {chain}$", listing, re.MULTILINE)
    rules = re.findall(rf"^\[(\d+):\d+\] -A {chain} (.*)$", listing, re.MULTILINE)
    if sorted(hooked) != sorted(place.hooks) or not rules:
        return None
    dropped = sum(int(count) for count, rule in rules if rule.endswith("-j DROP"))
    return Counted(dropped, sum(int(count) for count, _ in rules) - dropped)


def is_there(runtime: Runtime, target: Container, tag: str) -> bool:
    """Whether anything of the chain is in *target*, seen by a fresh helper."""
    return chain_of(tag) in _run(runtime, target, tag, _LIST)


def remove(runtime: Runtime, target: Container, tag: str, peers: Sequence[str]) -> int:
    """
    Take the chain out of *target*; if it was there, reset once what is open to the *peers*.

    Returns:
        How many connections were reset.
    """
    script = _REMOVE.format(chain=chain_of(tag), peers=" ".join(peers))
    return int(_run(runtime, target, tag, ("sh", "-c", script)))


def _run(runtime: Runtime, target: Container, tag: str, command: tuple[str, ...]) -> str:
    """In a fresh helper that has the tag, so that the next heal removes what a killed one left."""
    labels = {FAULT_LABEL: tag}
    return runtime.run_helper(
        HelperCall(command, network_of=target, capabilities=_CAPABILITIES, labels=labels)
    )
