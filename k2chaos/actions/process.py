"""Actions that stop, freeze or restart what runs in a container."""

from typing import Any

from chaoslib.types import Configuration, Secrets

from k2chaos.system.faults.freeze import Freeze
from k2chaos.system.faults.process import Crash, Kill, Pause, Restart, Stop
from k2chaos.system.holding import Wish, hold_for
from k2chaos.system.run import current_run


def pause(
    role: str,
    duration: float = 15.0,
    service: str = "",
    count: int = 1,
    start_after: float = 0.0,
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
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

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
    wish = Wish(role, duration, start_after)
    return hold_for(current_run(), Pause, wish, service=service, count=count)


def freeze_process(
    role: str,
    process: str,
    duration: float = 15.0,
    service: str = "",
    count: int = 1,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Stop the processes of one name inside a container (SIGSTOP), then let them go on.

    The others go on, and the kernel still takes connections for the frozen ones: this is what a
    deadlocked worker looks like. To freeze the whole container, use ``pause``.

    Args:
        role: Role of the service in the pipeline file.
        process: Exact name of the program as the kernel keeps it (at most 15 characters), for
            example ``java``; where several processes have it, all of them are stopped.
        duration: Seconds to hold the fault.
        service: Which service, where the role has several.
        count: How many containers are meant.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``pause``; the witness lists the state of each process.

    Raises:
        UsageError: *process* is empty.
        TargetNotReady: No process has that name (the message lists those that are there), or it
            is stopped already.
        FaultNotInjected: It still runs.
        FaultNotHealed: It is still stopped.
    """
    wish = Wish(role, duration, start_after)
    return hold_for(current_run(), Freeze, wish, service=service, count=count, process=process)


def stop(
    role: str,
    duration: float = 15.0,
    grace: float = 10.0,
    service: str = "",
    count: int = 1,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Stop a container as an operator would, then start it again.

    The main process gets SIGTERM, and SIGKILL when the grace period is over; the restart policy
    does not act. This is a planned shutdown: what a service has to flush, it can flush.

    Args:
        role: Role of the service in the pipeline file.
        duration: Seconds from the stop to the start.
        grace: Seconds from SIGTERM to SIGKILL.
        service: Which service, where the role has several.
        count: How many containers are meant.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``pause``.

    Raises:
        FaultNotInjected: The container still runs.
        FaultNotHealed: It did not start again.
    """
    return hold_for(
        current_run(),
        Stop,
        Wish(role, duration, start_after),
        service=service,
        count=count,
        grace_seconds=grace,
    )


def kill(
    role: str,
    duration: float = 0.0,
    service: str = "",
    count: int = 1,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Kill a container (SIGKILL by the engine), then start it again.

    The engine takes this for the operator's wish: the restart policy does not act, so the heal
    starts the container. For a crash that the restart policy answers, use ``crash``.

    Args:
        role: Role of the service in the pipeline file.
        duration: Seconds from the kill to the start; 0 starts it at once.
        service: Which service, where the role has several.
        count: How many containers are meant.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``pause``.

    Raises:
        FaultNotInjected: The container still runs.
        FaultNotHealed: It did not start again.
    """
    wish = Wish(role, duration, start_after)
    return hold_for(current_run(), Kill, wish, service=service, count=count)


def crash(
    role: str,
    service: str = "",
    count: int = 1,
    start_after: float = 0.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """
    Crash a container's main process from outside; its restart policy brings it back.

    SIGKILL from the engine host's PID namespace, as the kernel's out-of-memory killer sends it.
    Where no restart policy acts the heal starts the container, and the result says so.

    Args:
        role: Role of the service in the pipeline file.
        service: Which service, where the role has several.
        count: How many containers are meant.
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``pause``; the witness names what started the container again.

    Raises:
        FaultNotInjected: The main process is still the same.
        FaultNotHealed: It did not come back within a minute.
    """
    wish = Wish(role, 0.0, start_after)
    return hold_for(current_run(), Crash, wish, service=service, count=count)


def restart(
    role: str,
    grace: float = 10.0,
    service: str = "",
    count: int = 1,
    start_after: float = 0.0,
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
        start_after: Seconds from the call to the effect; the fault is prepared meanwhile.

    Returns:
        As of ``pause``.

    Raises:
        FaultNotInjected: The start time did not move.
        FaultNotHealed: It is not running.
    """
    return hold_for(
        current_run(),
        Restart,
        Wish(role, 0.0, start_after),
        service=service,
        count=count,
        grace_seconds=grace,
    )
