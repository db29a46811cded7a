"""
What a container may use and what it does use, in the engine's spelling and by the kernel's account.

A limit is what the engine was told; the *effective* one is what the kernel enforces, as read from
the control group. They differ in how "unlimited" is spelt, and where somebody wrote to the group.
"""

from dataclasses import dataclass
from typing import Final

_PERIOD_US: Final = 100_000
"""The engine's default length of a period of CPU time."""
UNLIMITED_BYTES: Final = 9_223_372_036_854_771_712
"""
The kernel's own "unlimited" (2^63 rounded down to a page): the only value that takes a memory limit
away again, for the engine takes 0 for "no change" and refuses -1 on control groups v1.
"""
FEWEST_BYTES: Final = 6 * 1024**2
"""The engine accepts no memory limit below it."""


@dataclass(frozen=True, slots=True)
class CpuLimit:
    """
    How much CPU time a container may use, in the engine's own two spellings.

    A container created with the one must be changed with the one; the engine refuses the other.

    Attributes:
        nano_cpus: Cores times 10^9; 0 where the limit is not spelt so.
        quota_us: Microseconds of CPU time a period; 0 or -1 is unlimited.
        period_us: Length of a period; 0 is the engine's default (100 ms).
    """

    nano_cpus: int = 0
    quota_us: int = 0
    period_us: int = 0

    @property
    def cores(self) -> float | None:
        """The limit in cores; ``None`` is unlimited, whichever way that is spelt."""
        if self.nano_cpus:
            return self.nano_cpus / 1e9
        return self.quota_us / (self.period_us or _PERIOD_US) if self.quota_us > 0 else None

    def squeezed_to(self, cores: float) -> "CpuLimit":
        """The limit of *cores*, in the spelling of this one."""
        if self.nano_cpus:
            return CpuLimit(nano_cpus=round(cores * 1e9))
        period = self.period_us or _PERIOD_US
        return CpuLimit(quota_us=round(cores * period), period_us=period)


@dataclass(frozen=True, slots=True)
class CpuUse:
    """
    A container's CPU limit as the engine has it, and what the kernel made of it.

    Attributes:
        throttled_periods: Periods in which the kernel made a process wait, since the start.
    """

    limit: CpuLimit
    throttled_periods: int


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """
    How much memory a container may use, as the engine was told.

    Attributes:
        memory_bytes: 0 is unlimited.
        with_swap_bytes: Memory and swap together; 0 is the engine's default, -1 unlimited.
    """

    memory_bytes: int = 0
    with_swap_bytes: int = 0


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """
    Memory by the kernel's account.

    Attributes:
        effective_bytes: What the kernel enforces; the host's memory where there is no limit, and
            ``None`` while no process runs.
        used_bytes: In use now, without pages of files that were not used of late: those the kernel
            gives back before anything else.
    """

    limit: MemoryLimit
    effective_bytes: int | None
    used_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessLimit:
    """
    How many processes and threads a container may have, as the engine was told.

    Attributes:
        count: 0 or less is unlimited.
    """

    count: int = 0


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """
    Processes and threads by the kernel's account.

    Attributes:
        effective_count: What the kernel enforces; ``None`` without limit, and while none runs.
        running: How many there are now.
    """

    limit: ProcessLimit
    effective_count: int | None
    running: int


Limit = CpuLimit | MemoryLimit | ProcessLimit


@dataclass(frozen=True, slots=True)
class Limits:
    """What the engine was told that a container may use."""

    cpu: CpuLimit
    memory: MemoryLimit
    processes: ProcessLimit


@dataclass(frozen=True, slots=True)
class Use:
    """All of it, at one moment."""

    cpu: CpuUse
    memory: MemoryUse
    processes: ProcessUse
