"""
A fault's own chain in the packet filter of its target: made at once, found by its tag, removed.

Rules: nothing but the chain ``K2C-<tag>`` and the jumps to it is ever added or removed, so that the
faults of one namespace do not see each other. Chains live and die with the namespace: a container
that was restarted has none.
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
_HOOKS: Final = ("INPUT", "OUTPUT")
_LIST: Final = ("iptables-save", "-c", "-t", "filter")
_REMOVE: Final = """for hook in INPUT OUTPUT; do
  while iptables -w 5 -D $hook -j {chain} 2>/dev/null; do :; done
done
iptables -w 5 -F {chain} 2>/dev/null && iptables -w 5 -X {chain}
for peer in {peers}; do ss -K -t -n dst $peer >/dev/null; done"""


def chain_of(tag: str) -> str:
    """The name of the chain of the fault *tag*."""
    return f"K2C-{tag}"


def place_hand(runtime: Runtime, target: Container, tag: str, command: tuple[str, ...]) -> None:
    """Start the helper that will apply the rules, and does *command* meanwhile."""
    call = HelperCall(command, capabilities=_CAPABILITIES, network_of=target)
    runtime.start_helper(call, tag, HAND)


def apply(runtime: Runtime, tag: str, rules: Sequence[str], at: datetime) -> datetime:
    """Put *rules* into force at *at*; when they were."""
    chain = chain_of(tag)
    lines = [
        "*filter",
        f":{chain} - [0:0]",
        *(f"-A {chain} {rule}" for rule in rules),
        *(f"-I {hook} -j {chain}" for hook in _HOOKS),
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


def counted(runtime: Runtime, tag: str) -> Counted | None:
    """What the kernel counted; ``None`` where the rules are not in force."""
    return _counted(runtime.tell_helper(tag, HAND, _LIST), tag)


def is_there(runtime: Runtime, target: Container, tag: str) -> bool:
    """Whether anything of the chain is in *target*, seen by a fresh helper."""
    return chain_of(tag) in _run(runtime, target, tag, _LIST)


def remove(runtime: Runtime, target: Container, tag: str, peers: Sequence[str]) -> None:
    """Take the chain out of *target*, then reset once what it has open to the addresses *peers*."""
    script = _REMOVE.format(chain=chain_of(tag), peers=" ".join(peers))
    _run(runtime, target, tag, ("sh", "-c", script))


def _run(runtime: Runtime, target: Container, tag: str, command: tuple[str, ...]) -> str:
    """In a fresh helper that has the tag, so that the next heal removes what a killed one left."""
    labels = {FAULT_LABEL: tag}
    return runtime.run_helper(
        HelperCall(command, network_of=target, capabilities=_CAPABILITIES, labels=labels)
    )


def _counted(listing: str, tag: str) -> Counted | None:
    chain = chain_of(tag)
    hooked = re.findall(rf"^\[\d+:\d+\] -A (?:INPUT|OUTPUT) -j {chain}$", listing, re.MULTILINE)
    rules = re.findall(rf"^\[(\d+):\d+\] -A {chain} (.*)$", listing, re.MULTILINE)
    if len(hooked) < len(_HOOKS) or not rules:
        return None
    dropped = sum(int(count) for count, rule in rules if rule.endswith("-j DROP"))
    return Counted(dropped, sum(int(count) for count, _ in rules) - dropped)
