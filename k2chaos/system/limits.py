"""
What a container may use: limits as the engine spells them.

Values only. What the kernel makes of a limit is read in `cgroup`.
"""

from dataclasses import dataclass, field
from typing import Final

_PERIOD_US: Final = 100_000
"""The engine's default length of a period of CPU time."""

UNLIMITED_BYTES: Final = 9223372036854771712
"""The kernel's largest memory limit: the one number that lifts a limit (0 and -1 do not)."""

UNLIMITED_PROCESSES: Final = -1


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
    How much memory a container may use, as the engine has it.

    Attributes:
        memory_bytes: 0 where none was ever given.
        memory_and_swap_bytes: Both together; 0 where none was ever given, -1 is unlimited swap.
        reservation_bytes: What it is promised; the engine refuses a limit below.
    """

    memory_bytes: int = 0
    memory_and_swap_bytes: int = 0
    reservation_bytes: int = 0

    @property
    def is_unlimited(self) -> bool:
        """Nothing is limited, whichever way that is spelt."""
        return self.memory_bytes in {0, -1, UNLIMITED_BYTES}

    def squeezed_to(self, limit_bytes: int) -> "MemoryLimit":
        """The limit of *limit_bytes*, without any swap: both have to be given."""
        return MemoryLimit(limit_bytes, limit_bytes, self.reservation_bytes)

    def restorable(self, cgroup_version: int) -> "MemoryLimit":
        """
        This limit, as it has to be written to be in force again.

        On cgroup v1 "unlimited" is the kernel's largest number in both places. On v2 swap is
        counted apart, so that the same number twice would leave none of it.
        """
        if not self.is_unlimited:
            return self
        swap = UNLIMITED_BYTES if cgroup_version == 1 else -1
        return MemoryLimit(UNLIMITED_BYTES, swap, self.reservation_bytes)


@dataclass(frozen=True, slots=True)
class ProcessLimit:
    """How many processes and threads a container may have; -1 is unlimited."""

    count: int = UNLIMITED_PROCESSES


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a container by the engine's account, which is what it starts with."""

    memory: MemoryLimit = field(default_factory=MemoryLimit)
    processes: ProcessLimit = field(default_factory=ProcessLimit)
