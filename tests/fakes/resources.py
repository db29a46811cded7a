"""What the containers of a fake engine may use and do use, in memory only."""

from dataclasses import dataclass, field

from k2chaos.errors import TargetNotReady
from k2chaos.system.limits import (
    FEWEST_BYTES,
    UNLIMITED_BYTES,
    CpuLimit,
    CpuUse,
    Limit,
    MemoryLimit,
    MemoryUse,
    ProcessLimit,
    ProcessUse,
    Use,
)
from k2chaos.system.runtime import Container

HOST_BYTES = 8 * 1024**3


@dataclass
class FakeResources:
    """
    Limits and use by container.

    Attributes:
        idle: These have nothing to do, so nothing can be withheld from them.
        used_bytes: Of every container.
        running: Processes of every container.
    """

    cpus: dict[Container, CpuLimit] = field(default_factory=dict)
    memories: dict[Container, MemoryLimit] = field(default_factory=dict)
    processes: dict[Container, ProcessLimit] = field(default_factory=dict)
    idle: set[Container] = field(default_factory=set)
    used_bytes: int = 100 * 1024**2
    running: int = 4

    def use(self, container: Container, *, is_running: bool) -> Use:
        """Whoever is limited and not idle has been throttled."""
        cpu = self.cpus.get(container, CpuLimit())
        is_tight = 0 < cpu.nano_cpus < 10**9 or 0 < cpu.quota_us < 100_000
        memory = self.memories.get(container, MemoryLimit())
        count = self.processes.get(container, ProcessLimit())
        bytes_enforced = min(memory.memory_bytes or HOST_BYTES, HOST_BYTES)
        return Use(
            CpuUse(cpu, 7 if is_tight and container not in self.idle else 0),
            MemoryUse(
                memory,
                bytes_enforced if is_running else None,
                self.used_bytes if is_running else 0,
            ),
            ProcessUse(
                count,
                count.count if is_running and count.count > 0 else None,
                self.running if is_running else 0,
            ),
        )

    def limit(self, container: Container, limit: Limit) -> None:
        """Refuse what the engine refuses."""
        match limit:
            case CpuLimit():
                before = self.cpus.get(container, CpuLimit())
                if bool(before.nano_cpus) != bool(limit.nano_cpus) and before != CpuLimit():
                    message = "conflicting options"
                    raise TargetNotReady(message)
                self.cpus[container] = limit
            case MemoryLimit(memory_bytes=memory):
                if memory and memory < max(FEWEST_BYTES, self.used_bytes):
                    message = "the kernel cannot take back so much"
                    raise TargetNotReady(message)
                # Never 0 again, as on the real engine.
                swap = limit.with_swap_bytes if limit.with_swap_bytes > 0 else UNLIMITED_BYTES
                self.memories[container] = MemoryLimit(memory or UNLIMITED_BYTES, swap)
            case ProcessLimit():
                self.processes[container] = limit
