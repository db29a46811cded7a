"""Actions that lose, hold back, reorder, duplicate or slow down packets between two roles."""

from typing import Any

from chaoslib.types import Configuration, Secrets

from k2chaos.system.amounts import refuse_bad_amount
from k2chaos.system.between import hold_between
from k2chaos.system.faults.network.bandwidth import LimitBandwidth
from k2chaos.system.faults.network.delay import DelayPackets, ReorderPackets
from k2chaos.system.faults.network.duplicate import DuplicatePackets
from k2chaos.system.faults.network.lossy import LosePackets
from k2chaos.system.holding import Wish
from k2chaos.system.run import current_run


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
        percent: Chance of each packet to be lost, from 0.1 to 100.
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


def reorder_packets(
    role: str,
    to: str,
    percent: float = 25.0,
    milliseconds: float = 20.0,
    duration: float = 15.0,
    service: str = "",
    to_service: str = "",
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let some of what a container sends to those of another role be overtaken by what follows.

    This is what several ways of different length between two places look like.

    Args:
        role: Role of the container whose packets are reordered.
        to: Role of the other end; all its containers.
        percent: Chance of each packet to be held back, from 2 to 90.
        milliseconds: For how long, more than 2; what is sent meanwhile comes first.
        duration: Seconds to hold the fault.
        service: Which service, where *role* has several.
        to_service: Which service, where *to* has several; by default all of them.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``partition``; the witness counts the pings that were overtaken, and all of them.

    Raises:
        UsageError: Both roles are the same, or an amount is out of range.
        TargetNotReady: One end does not run, or packets came out of order before the fault.
        FaultNotInjected: No packet was overtaken.
        FaultNotHealed: Rules of the fault are still there.
    """
    refuse_bad_amount("percent", percent)
    refuse_bad_amount("milliseconds", milliseconds)
    return hold_between(
        current_run(),
        ReorderPackets,
        Wish(role, duration, start_after),
        to,
        service=service,
        to_service=to_service,
        percent=percent,
        milliseconds=milliseconds,
    )


def duplicate_packets(
    role: str,
    to: str,
    percent: float = 25.0,
    duration: float = 15.0,
    service: str = "",
    to_service: str = "",
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Send some of the packets from a container to those of another role twice.

    TCP throws the second one away; what speaks UDP sees it.

    Args:
        role: Role of the container whose packets are sent twice.
        to: Role of the other end; all its containers.
        percent: Chance of each packet to be sent twice, from 2 to 100.
        duration: Seconds to hold the fault.
        service: Which service, where *role* has several.
        to_service: Which service, where *to* has several; by default all of them.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``partition``; the witness counts the pings that came twice, and all of them.

    Raises:
        UsageError: Both roles are the same, or *percent* is out of range.
        TargetNotReady: One end does not run, or packets came twice before the fault.
        FaultNotInjected: No packet came twice.
        FaultNotHealed: Rules of the fault are still there.
    """
    refuse_bad_amount("percent", percent)
    return hold_between(
        current_run(),
        DuplicatePackets,
        Wish(role, duration, start_after),
        to,
        service=service,
        to_service=to_service,
        percent=percent,
    )


def limit_bandwidth(
    role: str,
    to: str,
    kbit_per_second: float = 1000.0,
    duration: float = 15.0,
    service: str = "",
    to_service: str = "",
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let what a container sends to those of another role go on at a limited rate.

    Up to a second's worth waits for its turn; what comes on top is lost. This is what a thin or
    crowded line looks like.

    Args:
        role: Role of the container whose packets are slowed down.
        to: Role of the other end; all its containers.
        kbit_per_second: Thousands of bits a second, to all of *to* together, from 16 to 40000.
        duration: Seconds to hold the fault.
        service: Which service, where *role* has several.
        to_service: Which service, where *to* has several; by default all of them.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``partition``; the witness says how fast a burst of pings was answered.

    Raises:
        UsageError: Both roles are the same, or the rate is out of range.
        TargetNotReady: One end does not run, or it was no faster before the fault.
        FaultNotInjected: A burst is answered faster than that.
        FaultNotHealed: Rules of the fault are still there.
    """
    refuse_bad_amount("kbit_per_second", kbit_per_second)
    return hold_between(
        current_run(),
        LimitBandwidth,
        Wish(role, duration, start_after),
        to,
        service=service,
        to_service=to_service,
        kbit_per_second=kbit_per_second,
    )
