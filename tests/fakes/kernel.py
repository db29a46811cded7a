"""What a fake engine's kernel knows: control groups and processes, in memory only."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from k2chaos.errors import FaultError, TargetNotReady
from k2chaos.system.cgroup import READ_CGROUP
from k2chaos.system.limits import UNLIMITED_BYTES, Limits, MemoryLimit, ProcessLimit
from k2chaos.system.runtime import Container, ContainerState, HelperCall, Process

MEBI: Final = 2**20


@dataclass
class FakeKernel:
    """
    Answers the scripts of helpers, and keeps limits as Docker Engine keeps them.

    Attributes:
        version: Of the control groups, 1 or 2.
        given: The engine's account of the limits.
        used_bytes: Of memory, by every container.
        hits: How often a squeezed container asks for more than it may have.
        refused: Processes that were not let begin.
        oom_killed_at: When a process of the container was killed for want of memory.
        stopped: Numbers of the processes that are stopped.
        ages: Added to a process's start time: it is another one under an old number.
        extra: Names of processes beside ``sh`` and ``sleep``.
    """

    version: int = 1
    given: dict[Container, Limits] = field(default_factory=dict)
    used_bytes: int = 10 * MEBI - 100
    hits: int = 7
    oom_kills: int = 0
    refused: dict[Container, int] = field(default_factory=dict)
    oom_killed_at: dict[Container, datetime] = field(default_factory=dict)
    stopped: set[int] = field(default_factory=set)
    ages: dict[int, int] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    is_blind: bool = False

    def limits(self, container: Container) -> Limits:
        """The engine's account."""
        return self.given.get(container, Limits())

    def limit(self, container: Container, wanted: MemoryLimit | ProcessLimit) -> None:
        """Refuses what the engine refuses; its "unlimited" of 0 or -1 changes nothing."""
        now = self.limits(container)
        if isinstance(wanted, ProcessLimit):
            self.given[container] = Limits(now.memory, wanted)
        elif wanted.memory_bytes > 0:
            if self.version == 1 and wanted.memory_bytes < self.used_bytes:
                message = f"unable to set memory limit to {wanted.memory_bytes}"
                raise TargetNotReady(message)
            if not wanted.memory_and_swap_bytes:
                message = "memory limit should be smaller than already set memoryswap limit"
                raise TargetNotReady(message)
            self.given[container] = Limits(wanted, now.processes)

    def attempt(self, container: Container) -> None:
        """One process more, if that is within the limit."""
        if 0 < self.limits(container).processes.count <= len(self._names()):
            self.refused[container] = self.refused.get(container, 0) + 20

    def processes(self, state: ContainerState) -> tuple[Process, ...]:
        """The shell, what it waits for, and the `extra` ones."""
        numbered = ((state.pid + 10_000 * n, name) for n, name in enumerate(self._names()))
        return tuple(Process(pid, "T" if pid in self.stopped else "S", n) for pid, n in numbered)

    def answer(self, call: HelperCall) -> str | None:
        """What the helper prints; ``None`` where it is none of these scripts."""
        script = call.command[-1]
        if script == READ_CGROUP and call.pids_of is not None:
            if self.is_blind:
                message = "helper failed with 137"
                raise FaultError(message)
            return "\n".join(
                self._v1(call.pids_of) if self.version == 1 else self._v2(call.pids_of)
            )
        if script.startswith("cat /proc/"):
            pids = [int(pid) for pid in re.findall(r"/proc/(\d+)/stat", script)]
            return "\n".join(f"{pid} (a) b) S {'0 ' * 18}{self._started(pid)} 0" for pid in pids)
        if sent := re.search(r"kill -(STOP|CONT)", script):
            for pid, started in re.findall(r"(\d+):(\d+)", script):
                if int(started) == self._started(int(pid)):
                    (self.stopped.add if sent[1] == "STOP" else self.stopped.discard)(int(pid))
            return ""
        return None

    def _names(self) -> tuple[str, ...]:
        return ("sh", "sleep", *self.extra)

    def _started(self, pid: int) -> int:
        return pid * 3 + self.ages.get(pid, 0)

    def _memory(self, container: Container) -> tuple[int, int]:
        """Memory, and memory with swap; the kernel's largest number is unlimited."""
        memory = self.limits(container).memory
        both = memory.memory_and_swap_bytes
        return memory.memory_bytes or UNLIMITED_BYTES, both if both > 0 else UNLIMITED_BYTES

    def _pids(self, container: Container, prefix: str) -> list[str]:
        count = self.limits(container).processes.count
        return [
            f"{prefix}pids.max:{count if count > 0 else 'max'}",
            f"{prefix}pids.current:{len(self._names())}",
            f"{prefix}pids.events:max {self.refused.get(container, 0)}",
        ]

    def _v1(self, container: Container) -> list[str]:
        memory, both = self._memory(container)
        hits = self.hits if memory < UNLIMITED_BYTES else 0
        return [
            f"memory/memory.limit_in_bytes:{memory}",
            f"memory/memory.memsw.limit_in_bytes:{both}",
            f"memory/memory.usage_in_bytes:{self.used_bytes}",
            f"memory/memory.failcnt:{hits}",
            "memory/memory.memsw.failcnt:0",
            "memory/memory.oom_control:oom_kill_disable 0",
            f"memory/memory.oom_control:oom_kill {self.oom_kills}",
            *self._pids(container, "pids/"),
            "read",
        ]

    def _v2(self, container: Container) -> list[str]:
        memory, both = self._memory(container)
        is_limited = memory < UNLIMITED_BYTES
        # The runtime below the engine turns the sum into swap alone; -1 is unlimited.
        unlimited_swap = self.limits(container).memory.memory_and_swap_bytes in {0, -1}
        return [
            f"memory.max:{memory if is_limited else 'max'}",
            f"memory.swap.max:{'max' if unlimited_swap else both - memory}",
            f"memory.current:{self.used_bytes}",
            f"memory.events:max {self.hits if is_limited else 0}",
            f"memory.events:oom_kill {self.oom_kills}",
            *self._pids(container, ""),
            "read",
        ]
