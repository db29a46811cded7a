"""
Actions for Chaos Toolkit: break one thing, for a while, and put it back.

Every fault is held: on record before it is injected, confirmed by a witness, healed and confirmed
gone before the action returns. Actions need a run to answer for them, so the experiment must
declare the control ``k2chaos.controls``.
"""

from typing import Any

from chaoslib.types import Configuration, Secrets

from k2chaos.system.faults.process import Crash, Kill, Pause, Restart, Stop
from k2chaos.system.faults.resources import SqueezeCpu
from k2chaos.system.holding import hold_for, refuse_bad_share
from k2chaos.system.recovery import await_recovery as recover
from k2chaos.system.run import current_run

__all__ = ["await_recovery", "crash", "kill", "pause", "restart", "squeeze_cpu", "stop"]


def pause(
    role: str,
    duration: float = 15.0,
    service: str = "",
    count: int = 1,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Freeze every process of a container, then thaw it.

    The container keeps its address and its open sockets: peers see silence, not a reset. This is
    what a long garbage collection, a stalled disk or a suspended virtual machine looks like from
    outside.

    Args:
        role: Role of the service in the pipeline file, for example ``broker``.
        duration: Seconds to hold the fault. The call blocks for as long; use
            ``"background": true`` to let the method go on.
        service: Which service, where the role has several.
        count: How many containers are meant; any other number of matches is an error.

    Returns:
        For each container when the fault was confirmed active, when confirmed gone, and the
        achieved length in seconds.

    Raises:
        ContainerNotFound: Nothing in the pipeline answers to *role*.
        TargetNotReady: It does not run, so it cannot be frozen.
        FaultNotInjected: The container still runs after the freeze.
        FaultNotHealed: It is still frozen. The ledger keeps the fault open;
            ``k2chaos heal`` tries again.
    """
    return hold_for(current_run(), Pause, role, duration, service=service, count=count)


def stop(
    role: str,
    duration: float = 15.0,
    grace: float = 10.0,
    service: str = "",
    count: int = 1,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Stop a container as an operator would, then start it again.

    The main process gets SIGTERM, and SIGKILL when the grace period is over; the restart policy
    does not act. This is a planned shutdown: what a service has to flush, it can flush.

    Args:
        role: Role of the service in the pipeline file.
        duration: Seconds from the confirmed stop to the start.
        grace: Seconds from SIGTERM to SIGKILL.
        service: Which service, where the role has several.
        count: How many containers are meant.

    Returns:
        As of ``pause``.

    Raises:
        FaultNotInjected: The container still runs.
        FaultNotHealed: It did not start again.
    """
    return hold_for(
        current_run(), Stop, role, duration, service=service, count=count, grace_seconds=grace
    )


def kill(
    role: str,
    duration: float = 0.0,
    service: str = "",
    count: int = 1,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Kill a container (SIGKILL by the engine), then start it again.

    The engine takes this for the operator's wish: the restart policy does not act, so the heal
    starts the container. For a crash that the restart policy answers, use ``crash``.

    Args:
        role: Role of the service in the pipeline file.
        duration: Seconds from the confirmed kill to the start; 0 starts it at once.
        service: Which service, where the role has several.
        count: How many containers are meant.

    Returns:
        As of ``pause``.

    Raises:
        FaultNotInjected: The container still runs.
        FaultNotHealed: It did not start again.
    """
    return hold_for(current_run(), Kill, role, duration, service=service, count=count)


def crash(
    role: str,
    service: str = "",
    count: int = 1,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Crash a container's main process from outside; its restart policy brings it back.

    SIGKILL from the engine host's PID namespace, as the kernel's out-of-memory killer sends it.
    Where there is no restart policy the heal starts the container, and the result says so.

    Args:
        role: Role of the service in the pipeline file.
        service: Which service, where the role has several.
        count: How many containers are meant.

    Returns:
        As of ``pause``; the witness names what started the container again.

    Raises:
        FaultNotInjected: The main process is still the same.
        FaultNotHealed: It did not come back within a minute.
    """
    return hold_for(current_run(), Crash, role, 0.0, service=service, count=count)


def restart(
    role: str,
    grace: float = 10.0,
    service: str = "",
    count: int = 1,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Restart a container as an operator would: SIGTERM, SIGKILL after the grace period, start.

    Args:
        role: Role of the service in the pipeline file.
        grace: Seconds from SIGTERM to SIGKILL.
        service: Which service, where the role has several.
        count: How many containers are meant.

    Returns:
        As of ``pause``.

    Raises:
        FaultNotInjected: The start time did not move.
        FaultNotHealed: It is not running.
    """
    return hold_for(
        current_run(), Restart, role, 0.0, service=service, count=count, grace_seconds=grace
    )


def squeeze_cpu(
    role: str,
    duration: float = 15.0,
    cores: float = 0.05,
    service: str = "",
    count: int = 1,
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

    Returns:
        As of ``pause``; the witness counts the periods in which the kernel made it wait.

    Raises:
        UsageError: *cores* is no number of at least 0.01.
        FaultNotInjected: The kernel never made it wait: it has nothing to do, or too much is left.
        FaultNotHealed: The limit of before is not in force.
    """
    refuse_bad_share(cores)
    return hold_for(
        current_run(), SqueezeCpu, role, duration, service=service, count=count, cores=cores
    )


def await_recovery(
    deadline: float = 120.0, configuration: Configuration = None, secrets: Secrets = None
) -> dict[str, Any]:
    """
    Wait until every service is healthy, every record has arrived, and the data is fresh.

    ``service``: every service runs and is healthy. ``caught_up``: every record emitted up to this
    call can be seen at the last stage. ``fresh``: the last stage is within the freshness budget.
    The last action of a method, so that the hypothesis after it judges the pipeline, not the
    recovery.

    Args:
        deadline: Seconds after which the pipeline counts as not recovered. That is a result, not
            an error, and fails the run.

    Returns:
        ``recovered``, and after how many seconds each phase was reached (``null``: not reached).
    """
    return recover(current_run(), deadline)
