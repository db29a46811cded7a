"""Limits and processes of a container, by the engine's API."""

import contextlib
from typing import Any, Final

from docker.errors import APIError

from k2chaos.system.limits import (
    UNLIMITED_PROCESSES,
    CpuLimit,
    CpuUse,
    Limits,
    MemoryLimit,
    ProcessLimit,
)
from k2chaos.system.runtime import Process

_NO_PROGRAM: Final = "k2chaos-no-such-program"


def cpu(api: Any, identifier: str) -> CpuUse:
    """The count is the kernel's, as the engine reads it from the cgroup."""
    host = api.inspect_container(identifier)["HostConfig"]
    stats = api.stats(identifier, stream=False, one_shot=True)
    limit = CpuLimit(host["NanoCpus"], host["CpuQuota"], host["CpuPeriod"])
    throttling = stats.get("cpu_stats", {}).get("throttling_data", {})
    return CpuUse(limit, int(throttling.get("throttled_periods", 0)))


def limits(api: Any, identifier: str) -> Limits:
    """As the engine has them written down; of processes it spells "unlimited" in three ways."""
    host = api.inspect_container(identifier)["HostConfig"]
    memory = MemoryLimit(host["Memory"], host["MemorySwap"], host["MemoryReservation"])
    count = host.get("PidsLimit") or UNLIMITED_PROCESSES
    return Limits(memory, ProcessLimit(count if count > 0 else UNLIMITED_PROCESSES))


def limit(api: Any, identifier: str, wanted: CpuLimit | MemoryLimit | ProcessLimit) -> None:
    """Write one limit."""
    # The SDK's own update knows neither NanoCpus nor PidsLimit.
    url = api._url("/containers/{0}/update", identifier)  # noqa: SLF001
    api._raise_for_status(api._post_json(url, data=_body(wanted)))  # noqa: SLF001


def _body(wanted: CpuLimit | MemoryLimit | ProcessLimit) -> dict[str, int]:
    if isinstance(wanted, MemoryLimit):
        return {"Memory": wanted.memory_bytes, "MemorySwap": wanted.memory_and_swap_bytes}
    if isinstance(wanted, ProcessLimit):
        return {"PidsLimit": wanted.count}
    if wanted.nano_cpus:
        return {"NanoCpus": wanted.nano_cpus}
    return {"CpuQuota": wanted.quota_us or -1, "CpuPeriod": wanted.period_us}


def processes(api: Any, identifier: str) -> tuple[Process, ...]:
    """The engine's own list; a process that has ended and waits to be collected is none."""
    listed = api.top(identifier, ps_args="-eo pid,stat,comm")["Processes"]
    return tuple(Process(int(pid), stat[0], name) for pid, stat, name in listed if stat[0] != "Z")


def attempt_process(api: Any, identifier: str) -> None:
    """Begin nothing; that this fails is how it ends, whichever way."""
    execution = api.exec_create(identifier, [_NO_PROGRAM], stdout=False, stderr=False)
    with contextlib.suppress(APIError):
        api.exec_start(execution["Id"], detach=True)
