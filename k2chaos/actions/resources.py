"""Actions that take from a container what it lives on."""

from typing import Any

from chaoslib.types import Configuration, Secrets

from k2chaos.system.faults.resources import SqueezeCpu, SqueezeMemory, SqueezeProcesses
from k2chaos.system.holding import Wish, hold_for, refuse_bad_headroom, refuse_bad_share
from k2chaos.system.run import current_run


def squeeze_cpu(
    role: str,
    duration: float = 15.0,
    cores: float = 0.05,
    service: str = "",
    count: int = 1,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Give a container a fraction of a core for a while, then the limit it had.

    It lives and answers, late. This is what a noisy neighbour or a quota set too low looks like
    from outside.

    Args:
        role: Role of the service in the pipeline file.
        duration: Seconds to hold the fault.
        cores: CPU time it may use, in cores; the engine's smallest is 0.01.
        service: Which service, where the role has several.
        count: How many containers are meant.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``pause``; the witness counts the periods in which the kernel made it wait.

    Raises:
        UsageError: *cores* is no number of at least 0.01.
        FaultNotInjected: The kernel never made it wait: it has nothing to do, or too much is left.
        FaultNotHealed: The limit of before is not in force.
    """
    refuse_bad_share(cores)
    return hold_for(
        current_run(),
        SqueezeCpu,
        Wish(role, duration, start_after),
        service=service,
        count=count,
        cores=cores,
    )


def squeeze_memory(
    role: str,
    duration: float = 15.0,
    headroom_mebibytes: int = 8,
    service: str = "",
    count: int = 1,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Leave a container little more memory than it uses, then give it the limit it had.

    It has to give back what it can, and is killed by the kernel where it cannot; its restart
    policy then answers, still under the limit. This is what a leak, or a limit set too low, looks
    like from outside.

    Args:
        role: Role of the service in the pipeline file.
        duration: Seconds to hold the fault.
        headroom_mebibytes: What it may use beyond what it uses when the fault is prepared.
        service: Which service, where the role has several.
        count: How many containers are meant.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``pause``; the witness counts how often the limit was hit, and kills.

    Raises:
        UsageError: *headroom_mebibytes* is negative.
        TargetNotReady: It may not use more already, or uses more by now.
        FaultNotInjected: The limit was never hit: the container asks for no more memory.
        FaultNotHealed: The limit of before is not in force.
    """
    refuse_bad_headroom("headroom_mebibytes", headroom_mebibytes)
    wish, more = Wish(role, duration, start_after), {"headroom_mebibytes": headroom_mebibytes}
    return hold_for(current_run(), SqueezeMemory, wish, service=service, count=count, **more)


def squeeze_processes(
    role: str,
    duration: float = 15.0,
    headroom: int = 0,
    service: str = "",
    count: int = 1,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Let a container begin no further process or thread, then give it the limit it had.

    What runs, runs on; a thread for a new connection, or a health check, does not begin.

    Args:
        role: Role of the service in the pipeline file.
        duration: Seconds to hold the fault.
        headroom: How many more than those that are there when the fault is prepared.
        service: Which service, where the role has several.
        count: How many containers are meant.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``pause``; the witness counts what the kernel refused.

    Raises:
        UsageError: *headroom* is negative.
        TargetNotReady: It may not have more already.
        FaultNotInjected: Nothing was refused.
        FaultNotHealed: The limit of before is not in force.
    """
    refuse_bad_headroom("headroom", headroom)
    wish = Wish(role, duration, start_after)
    return hold_for(
        current_run(), SqueezeProcesses, wish, service=service, count=count, headroom=headroom
    )
