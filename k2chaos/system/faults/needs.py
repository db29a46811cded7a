"""
What a kind of fault needs of the engine and its host, and whether it is there.

A fault that cannot be done here is refused before a run begins, never replaced by a weaker one.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from k2chaos.errors import UsageError
from k2chaos.system.faults.catalogue import kind_of_provider
from k2chaos.system.runtime import Runtime

ABILITIES: Final[Mapping[str, str]] = {
    "cpu": "the engine cannot limit CPU time (no CFS quota in its kernel)",
    "memory": "the engine cannot limit memory and swap "
    "(no memory control group, or no swap accounting)",
    "pids": "the engine cannot limit processes (no pids control group)",
    "host-pid": (
        "a helper may not see the processes of the engine's host (rootless engine, or user "
        "namespaces are remapped)"
    ),
    "netfilter": (
        "a helper cannot make a packet filter of its own (no iptables in the kernel, the engine "
        "grants no NET_ADMIN, or the helper's image cannot be built)"
    ),
    "nfqueue": (
        "a helper cannot take packets out of the kernel and give them back (no NFQUEUE in the "
        "kernel, or no packet filter at all)"
    ),
    "sock-destroy": (
        "a helper cannot end the connections of others (no INET_DIAG_DESTROY in the kernel), or "
        "cannot be run at all"
    ),
}
"""What an engine can do, and what it means where it cannot."""

_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "squeeze-cpu": ("cpu",),
    "squeeze-memory": ("memory",),
    "squeeze-processes": ("pids",),
    "crash": ("host-pid",),
    "freeze-process": ("host-pid",),
    "partition": ("netfilter",),
    "isolate": ("netfilter",),
    "lose-packets": ("netfilter",),
    "reset-connections": ("netfilter", "sock-destroy"),
    "black-hole": ("netfilter",),
    "fail-names": ("netfilter",),
    "delay-packets": ("nfqueue",),
    "duplicate-packets": ("nfqueue",),
    "reorder-packets": ("nfqueue",),
    "limit-bandwidth": ("nfqueue",),
}


def why_not(kind: str, abilities: Collection[str]) -> str:
    """Why an engine with these *abilities* cannot do a fault of *kind*; empty where it can."""
    missing = (one for one in _NEEDS.get(kind, ()) if one not in abilities)
    return "; ".join(ABILITIES[one] for one in missing)


def abilities_for(experiment: Mapping[str, Any], runtime: Runtime) -> frozenset[str]:
    """Those of the abilities that the faults of *experiment* need which are there; asked once."""
    wanted = {need for _, kind in _faults_of(experiment) for need in _NEEDS.get(kind, ())}
    return runtime.abilities(wanted) if wanted else frozenset()


def refuse_impossible(experiment: Mapping[str, Any], runtime: Runtime) -> None:
    """
    Check that every fault of *experiment* can be done.

    Raises:
        UsageError: One cannot; it says which, and why.
    """
    abilities = abilities_for(experiment, runtime)
    for action, kind in _faults_of(experiment):
        reason = why_not(kind, abilities)
        if reason:
            message = f"{action} cannot be done on this host: {reason}. Nothing was touched"
            raise UsageError(message)


def _faults_of(experiment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Action and kind of each fault; those that only a ``ref`` repeats are listed once."""
    for part in ("method", "rollbacks"):
        for activity in experiment.get(part) or ():
            provider = activity.get("provider") or {}
            if (kind := kind_of_provider(provider)) is not None:
                yield str(provider.get("func")), kind.kind
