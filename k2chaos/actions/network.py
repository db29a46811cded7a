"""Actions that break connections between two roles, in the target's own network namespace."""

from typing import Any

from chaoslib.types import Configuration, Secrets

from k2chaos.system.amounts import refuse_bad_amount, refuse_other_than
from k2chaos.system.between import hold_apart, hold_between
from k2chaos.system.faults.network.connections import BlackHole, ResetConnections
from k2chaos.system.faults.network.names import ANSWERS, FailNames
from k2chaos.system.faults.network.partition import DIRECTIONS, Isolate, Partition
from k2chaos.system.holding import Wish, hold_for
from k2chaos.system.run import current_run


def partition(
    role: str,
    to: str,
    duration: float = 15.0,
    direction: str = "both",
    service: str = "",
    to_service: str = "",
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Cut a container off from those of another role, and from nobody else.

    Packets vanish; connections stay open on both ends until somebody's patience is over. This is
    what a dead switch or a wrong firewall rule looks like. After the heal the pair's connections
    are reset once.

    Args:
        role: Role of the container in whose namespace the packets are dropped.
        to: Role of the other end; all its containers.
        duration: Seconds to hold the fault.
        direction: ``both``; ``out`` drops only what *role* sends, ``in`` only what it is sent.
        service: Which service, where *role* has several.
        to_service: Which service, where *to* has several; by default all of them.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``pause``; the witness says whom the container no longer answers, and counts the
        packets that were dropped.

    Raises:
        UsageError: Both roles are the same, or *direction* is none.
        TargetNotReady: One end does not run, or did not answer the other before the fault.
        FaultNotInjected: The other end is still answered, or no packet was dropped.
        FaultNotHealed: Rules of the fault are still there.
    """
    refuse_other_than("direction", direction, DIRECTIONS)
    return hold_between(
        current_run(),
        Partition,
        Wish(role, duration, start_after),
        to,
        service=service,
        to_service=to_service,
        direction=direction,
    )


def isolate(
    role: str,
    duration: float = 15.0,
    service: str = "",
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Cut a container off from every other one of its project, but not from the host, nor from what
    ``limits.never`` forbids to touch.

    Ports published on the host still answer, so that what it says of itself is still seen.

    Args:
        role: Role of the container.
        duration: Seconds to hold the fault.
        service: Which service, where the role has several.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``partition``; three of the others are watched from within.

    Raises:
        TargetNotReady: It does not run, or did not answer the others before the fault.
        FaultNotInjected: It still answers one of them, or no packet was dropped.
        FaultNotHealed: Rules of the fault are still there.
    """
    return hold_apart(current_run(), Isolate, Wish(role, duration, start_after), service=service)


def reset_connections(
    role: str,
    to: str,
    every_seconds: float = 1.0,
    duration: float = 15.0,
    service: str = "",
    to_service: str = "",
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Reset every TCP connection between a container and those of another role, again and again.

    Both ends get an error and may connect anew at once. This is what a firewall or a load balancer
    does that forgets its connections.

    Args:
        role: Role of the container in whose namespace they are reset.
        to: Role of the other end; all its containers.
        every_seconds: How long from one time to the next, from 0.1 to 60.
        duration: Seconds to hold the fault.
        service: Which service, where *role* has several.
        to_service: Which service, where *to* has several; by default all of them.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``partition``; the witness says how often a connection of its own was reset.

    Raises:
        UsageError: Both roles are the same, or *every_seconds* is out of range.
        TargetNotReady: One end does not run, or did not answer the other before the fault.
        FaultNotInjected: No connection was reset.
        FaultNotHealed: Rules of the fault are still there.
    """
    refuse_bad_amount("every_seconds", every_seconds)
    return hold_between(
        current_run(),
        ResetConnections,
        Wish(role, duration, start_after),
        to,
        service=service,
        to_service=to_service,
        every_seconds=every_seconds,
    )


def black_hole(
    role: str,
    to: str,
    duration: float = 15.0,
    service: str = "",
    to_service: str = "",
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let connections between a container and those of another role be accepted, and then be silent.

    What is said over them vanishes on either way, also over those that are open; the ends see each
    other alive. This is what a process that hangs, or a wrong packet size on the way, looks like.

    Args:
        role: Role of the container in whose namespace the packets are dropped.
        to: Role of the other end; all its containers.
        duration: Seconds to hold the fault.
        service: Which service, where *role* has several.
        to_service: Which service, where *to* has several; by default all of them.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``partition``; the witness says that a connection was accepted, and not answered.

    Raises:
        UsageError: Both roles are the same.
        TargetNotReady: One end does not run, or did not answer the other before the fault.
        FaultNotInjected: A connection is answered, or is not even accepted.
        FaultNotHealed: Rules of the fault are still there.
    """
    return hold_between(
        current_run(),
        BlackHole,
        Wish(role, duration, start_after),
        to,
        service=service,
        to_service=to_service,
    )


def fail_names(
    role: str,
    answer: str = "error",
    duration: float = 15.0,
    service: str = "",
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let a container resolve no names: neither those of its peers nor any other.

    Connections that are open go on; who connects anew cannot.

    Args:
        role: Role of the container.
        answer: ``error``: a question fails at once; ``silence``: it takes the resolver's patience.
        duration: Seconds to hold the fault.
        service: Which service, where the role has several.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``partition``; the witness asks for a name from within the container's namespace.

    Raises:
        UsageError: *answer* is none.
        TargetNotReady: It does not run, or the engine resolves no names for it (as in its default
            network).
        FaultNotInjected: Names are still resolved.
        FaultNotHealed: Rules of the fault are still there.
    """
    refuse_other_than("answer", answer, ANSWERS)
    wish = Wish(role, duration, start_after)
    return hold_for(current_run(), FailNames, wish, service=service, answer=answer)
