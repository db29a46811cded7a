"""Actions that break the network between two roles, in the target's own network namespace."""

from typing import Any

from chaoslib.types import Configuration, Secrets

from k2chaos.system.amounts import refuse_bad_amount
from k2chaos.system.between import hold_apart, hold_between, refuse_bad_direction
from k2chaos.system.faults.network.delay import DelayPackets
from k2chaos.system.faults.network.lossy import LosePackets
from k2chaos.system.faults.network.partition import Isolate, Partition
from k2chaos.system.holding import Wish
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
    refuse_bad_direction(direction)
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


def lose_packets(
    role: str,
    to: str,
    percent: float = 10.0,
    duration: float = 15.0,
    service: str = "",
    to_service: str = "",
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Lose a share of the packets between a container and those of another role, on either way.

    TCP sends again what was lost, later and later. This is what a bad cable or a full queue looks
    like.

    Args:
        role: Role of the container in whose namespace the packets are dropped.
        to: Role of the other end; all its containers.
        percent: Chance of each packet to be lost, from 0.01 to 100.
        duration: Seconds to hold the fault.
        service: Which service, where *role* has several.
        to_service: Which service, where *to* has several; by default all of them.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``partition``; the witness counts the packets that were lost, and all of them.

    Raises:
        UsageError: Both roles are the same, or *percent* is out of range.
        TargetNotReady: One end does not run, or did not answer the other before the fault.
        FaultNotInjected: No packet was lost.
        FaultNotHealed: Rules of the fault are still there.
    """
    refuse_bad_amount("percent", percent)
    return hold_between(
        current_run(),
        LosePackets,
        Wish(role, duration, start_after),
        to,
        service=service,
        to_service=to_service,
        percent=percent,
    )


def delay_packets(
    role: str,
    to: str,
    milliseconds: float = 100.0,
    jitter_milliseconds: float = 0.0,
    duration: float = 15.0,
    service: str = "",
    to_service: str = "",
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Hold back what a container sends to those of another role, so that every exchange takes longer.

    This is what a far-away data centre or a busy link looks like.

    Args:
        role: Role of the container whose packets are held back.
        to: Role of the other end; all its containers.
        milliseconds: How much longer a round trip takes.
        jitter_milliseconds: Each packet waits so much more or less, evenly spread; at most half of
            *milliseconds*. Packets may overtake each other then.
        duration: Seconds to hold the fault.
        service: Which service, where *role* has several.
        to_service: Which service, where *to* has several; by default all of them.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``partition``; the witness has the round trip that each peer measured.

    Raises:
        UsageError: Both roles are the same, or a time is out of range.
        TargetNotReady: One end does not run, or the round trip was as long before the fault.
        FaultNotInjected: A round trip is as short as before.
        FaultNotHealed: Rules of the fault are still there.
    """
    refuse_bad_amount("milliseconds", milliseconds)
    refuse_bad_amount("jitter_milliseconds", jitter_milliseconds)
    return hold_between(
        current_run(),
        DelayPackets,
        Wish(role, duration, start_after),
        to,
        service=service,
        to_service=to_service,
        milliseconds=milliseconds,
        jitter_milliseconds=jitter_milliseconds,
    )
