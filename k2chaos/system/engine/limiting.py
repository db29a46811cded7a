"""Limits between the engine's JSON and ours."""

from collections.abc import Mapping
from typing import Any

from k2chaos.system.limits import (
    UNLIMITED_BYTES,
    CpuLimit,
    CpuUse,
    Limit,
    Limits,
    MemoryLimit,
    MemoryUse,
    ProcessLimit,
    ProcessUse,
    Use,
)


def update_of(limit: Limit) -> dict[str, int]:
    """What to post to change a container's *limit*."""
    match limit:
        case CpuLimit(nano_cpus=nano, quota_us=quota, period_us=period):
            return {"NanoCpus": nano} if nano else {"CpuQuota": quota or -1, "CpuPeriod": period}
        case MemoryLimit(memory_bytes=memory, with_swap_bytes=with_swap):
            swap = with_swap if with_swap > 0 else UNLIMITED_BYTES
            return {"Memory": memory or UNLIMITED_BYTES, "MemorySwap": swap}
        case ProcessLimit(count=count):
            return {"PidsLimit": count if count > 0 else -1}


def limits_of(host: Mapping[str, Any]) -> Limits:
    """What the engine's inspection (``HostConfig``) says."""
    return Limits(
        CpuLimit(host["NanoCpus"], host["CpuQuota"], host["CpuPeriod"]),
        MemoryLimit(host["Memory"], host["MemorySwap"]),
        ProcessLimit(host["PidsLimit"] or 0),
    )


def use_of(host: Mapping[str, Any], stats: Mapping[str, Any]) -> Use:
    """What its inspection and its statistics say of a container."""
    limits = limits_of(host)
    throttling = stats.get("cpu_stats", {}).get("throttling_data", {})
    memory, processes = stats.get("memory_stats", {}), stats.get("pids_stats", {})
    running = processes.get("current", 0)
    return Use(
        CpuUse(limits.cpu, int(throttling.get("throttled_periods", 0))),
        MemoryUse(limits.memory, memory.get("limit"), used_bytes(memory)),
        ProcessUse(limits.processes, processes.get("limit"), running),
    )


def used_bytes(memory: Mapping[str, Any]) -> int:
    """As ``docker stats`` counts it: control groups v1 say ``total_inactive_file``, v2 without."""
    pages = memory.get("stats") or {}
    idle = pages.get("total_inactive_file", pages.get("inactive_file", 0))
    usage = int(memory.get("usage", 0))
    return usage - idle if idle < usage else usage
