"""Actions that take from a container what it lives on."""

from typing import Any

from chaoslib.types import Configuration, Secrets

from k2chaos.system.faults.resources import SqueezeCpu
from k2chaos.system.holding import Wish, hold_for, refuse_bad_share
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
