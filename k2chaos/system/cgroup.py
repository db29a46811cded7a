"""
What the kernel says of a container's limits: the limit in force, and how often it was hit.

Read from the container's own control group by a helper that sees its processes, so that nothing
has to be in its image. Version 1 was measured; version 2 is read by its documentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from k2chaos.errors import FaultError
from k2chaos.system.limits import UNLIMITED_BYTES
from k2chaos.system.runtime import Container, HelperCall, Runtime

_V1: Final = (
    "memory/memory.limit_in_bytes", "memory/memory.memsw.limit_in_bytes",
    "memory/memory.usage_in_bytes", "memory/memory.failcnt", "memory/memory.memsw.failcnt",
    "memory/memory.oom_control", "pids/pids.max", "pids/pids.current", "pids/pids.events",
)  # fmt: skip
_V2: Final = (
    "memory.max", "memory.swap.max", "memory.current", "memory.events",
    "pids.max", "pids.current", "pids.events",
)  # fmt: skip
READ_CGROUP: Final = (
    f"cd /proc/1/root/sys/fs/cgroup && grep -sH '' {' '.join((*_V1, *_V2))}; echo read"
)


@dataclass(frozen=True, slots=True)
class Cgroup:
    """
    The control group of one container, now.

    Attributes:
        version: 1 or 2.
        memory_limit_bytes: In force; ``None`` is unlimited.
        memory_and_swap_limit_bytes: In force; ``None`` is unlimited, or not counted here.
        memory_hits: How often memory was asked for beyond the limit, since the start. Some
            kernels of version 1 do not count.
        oom_kills: Processes killed for want of memory, since the start.
        processes: Processes and threads.
        process_limit: In force; ``None`` is unlimited.
        processes_refused: Processes and threads that were not let begin, since the start.
    """

    version: int
    memory_limit_bytes: int | None
    memory_and_swap_limit_bytes: int | None
    memory_used_bytes: int
    memory_hits: int
    oom_kills: int
    processes: int
    process_limit: int | None
    processes_refused: int


def read_cgroup(runtime: Runtime, container: Container) -> Cgroup:
    """
    Ask the kernel.

    Raises:
        TargetNotReady: The container is down.
        FaultError: It ended while it was asked, or its control group cannot be seen.
    """
    call = HelperCall(("sh", "-c", READ_CGROUP), pids_of=container, capabilities=("SYS_PTRACE",))
    return parse_cgroup(runtime.run_helper(call))


def parse_cgroup(text: str) -> Cgroup:
    """The lines ``file:content`` of the files above; `FaultError` where the limits are missing."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        path, _, content = line.partition(":")
        *words, value = content.split() or [""]
        found[" ".join((path.rpartition("/")[2], *words))] = value
    try:
        return _v1(found) if "memory.limit_in_bytes" in found else _v2(found)
    except (KeyError, ValueError) as error:
        message = f"the kernel's limits cannot be read from the container's control group: {error}"
        raise FaultError(message) from error


def _v1(found: Mapping[str, str]) -> Cgroup:
    hits = ("memory.failcnt", "memory.memsw.failcnt")
    return Cgroup(
        version=1,
        memory_limit_bytes=_limit(found["memory.limit_in_bytes"]),
        memory_and_swap_limit_bytes=_limit(found.get("memory.memsw.limit_in_bytes", "max")),
        memory_used_bytes=int(found["memory.usage_in_bytes"]),
        memory_hits=sum(int(found.get(name, "0")) for name in hits),
        oom_kills=int(found.get("memory.oom_control oom_kill", "0")),
        processes=int(found["pids.current"]),
        process_limit=_limit(found["pids.max"]),
        processes_refused=int(found["pids.events max"]),
    )


def _v2(found: Mapping[str, str]) -> Cgroup:
    memory, swap = _limit(found["memory.max"]), _limit(found.get("memory.swap.max", "max"))
    return Cgroup(
        version=2,
        memory_limit_bytes=memory,
        memory_and_swap_limit_bytes=None if memory is None or swap is None else memory + swap,
        memory_used_bytes=int(found["memory.current"]),
        memory_hits=int(found["memory.events max"]),
        oom_kills=int(found["memory.events oom_kill"]),
        processes=int(found["pids.current"]),
        process_limit=_limit(found["pids.max"]),
        processes_refused=int(found["pids.events max"]),
    )


def _limit(text: str) -> int | None:
    """A limit; ``None`` where it is none (``max``, or the kernel's largest number)."""
    return None if text == "max" or int(text) >= UNLIMITED_BYTES else int(text)
