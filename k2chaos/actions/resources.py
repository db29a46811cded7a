"""Actions that take from a container what it lives on."""

from typing import Any

from chaoslib.types import Configuration, Secrets

from k2chaos.system.amounts import refuse_bad_amount
from k2chaos.system.faults.resources import SqueezeCpu, SqueezeMemory, SqueezeProcesses
from k2chaos.system.holding import Wish, hold_for
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
        cores: CPU time it may use, in cores, from 0.01 (the engine's smallest) to 1024.
        service: Which service, where the role has several.
        count: How many containers are meant.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``pause``; the witness counts the periods in which the kernel made it wait.

    Raises:
        UsageError: *cores* is no number of that range.
        FaultNotInjected: The kernel never made it wait: it has nothing to do, or too much is left.
        FaultNotHealed: The limit of before is not in force.
    """
    refuse_bad_amount("cores", cores)
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
    headroom_mib: int = 8,
    service: str = "",
    count: int = 1,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Limit a container's memory to what it uses now and a little more, then give it what it had.

    Beyond that the kernel first takes caches back and then kills (out of memory); the restart
    policy answers, under the same limit. This is what a leak, or a limit set too low, looks like.

    Args:
        role: Role of the service in the pipeline file.
        duration: Seconds to hold the fault.
        headroom_mib: MiB that it may use beyond what it uses now; the engine's smallest limit is
            6 MiB in all.
        service: Which service, where the role has several.
        count: How many containers are meant.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``pause``; the witness says what is in use, under which limit, and when the kernel
        killed, if it did.

    Raises:
        UsageError: *headroom_mib* is no whole number of 0 or more.
        TargetNotReady: It may use less as it is, or the kernel cannot take back so much.
        FaultNotInjected: The limit is not in force, or hardly any of it is used.
        FaultNotHealed: The limit of before is not in force, or the container does not run.
    """
    refuse_bad_amount("headroom_mib", headroom_mib)
    return hold_for(
        current_run(),
        SqueezeMemory,
        Wish(role, duration, start_after),
        service=service,
        count=count,
        headroom_mib=headroom_mib,
    )


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
    Allow a container as many processes and threads as it has now, then as many as before.

    Whatever would start another one is refused: a thread pool that grows, a new worker, an
    ``exec`` of the operator's. This is what a leak of threads looks like at the limit.

    Args:
        role: Role of the service in the pipeline file.
        duration: Seconds to hold the fault.
        headroom: How many more than there are now.
        service: Which service, where the role has several.
        count: How many containers are meant.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``pause``; the witness says how many there are, under which limit.

    Raises:
        UsageError: *headroom* is no whole number of 0 or more.
        TargetNotReady: It may have fewer as it is.
        FaultNotInjected: The limit is not in force.
        FaultNotHealed: The limit of before is not in force, or the container does not run.
    """
    refuse_bad_amount("headroom", headroom)
    return hold_for(
        current_run(),
        SqueezeProcesses,
        Wish(role, duration, start_after),
        service=service,
        count=count,
        headroom=headroom,
    )
