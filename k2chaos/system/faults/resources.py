"""
Faults of resources: what a container may use is squeezed, and given back exactly.

Witness of all of them: the kernel, which counts what it withheld; the engine's own account of the
limit alone is not believed, because that is what the injection wrote.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Final, Self

from k2chaos.errors import TargetNotReady
from k2chaos.system.cgroup import read_cgroup
from k2chaos.system.faults import System, Witnessed, new_tag
from k2chaos.system.faults.process import LANDING_SECONDS, require_running
from k2chaos.system.limits import CpuLimit, MemoryLimit, ProcessLimit
from k2chaos.system.runtime import Container

_PAGE_BYTES: Final = 4096
_LEAST_MEMORY_BYTES: Final = 6 * 2**20
"""The engine gives no less."""


@dataclass(frozen=True, slots=True)
class SqueezeCpu:
    """
    The container gets a fraction of a core: it lives, answers, and is slow at everything.

    Witness: the kernel made its processes wait (throttled periods grew since `prepare`) while our
    limit was in force; so a container with nothing to do is not squeezed. Healed by the limit of
    before; gone when the container, the same one, no longer has ours. Where it had none, the engine
    goes on listing the length of a period, which limits nothing.
    """

    kind: ClassVar[str] = "squeeze-cpu"
    does: ClassVar[str] = "limit the CPU time to a fraction of a core"
    undone_by: ClassVar[str] = "give it the limit it had"
    target: Container
    cores: float = 0.05
    limit_before: CpuLimit = field(default_factory=CpuLimit)
    limit_squeezed: CpuLimit = field(default_factory=CpuLimit)
    throttled_before: int = 0
    container_before: str = ""
    started_before: datetime | None = None
    tag: str = field(default_factory=new_tag)
    marks: ClassVar[tuple[str, str]] = ("update", "update")
    lead_seconds: ClassVar[float] = 0.0

    @property
    def landing_seconds(self) -> float:
        """As long as the engine may take over a request."""
        return LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """The container must run with more than it will be left; its limit will be restored."""
        state = require_running(system, self.target, self.kind)
        use = system.runtime.cpu(self.target)
        has = use.limit.cores
        if has is not None and has <= self.cores:
            message = (
                f"{self.kind} of {self.target} to {self.cores:g} cores not begun: it has {has:g} "
                "already, so nothing would be squeezed; ask for fewer cores"
            )
            raise TargetNotReady(message)
        return replace(
            self,
            limit_before=use.limit,
            limit_squeezed=use.limit.squeezed_to(self.cores),
            throttled_before=use.throttled_periods,
            container_before=state.container_id,
            started_before=state.started_at,
        )

    def inject(self, system: System, _at: datetime) -> None:
        """Limit it."""
        system.runtime.limit_cpu(self.target, self.limit_squeezed)

    def observe(self, system: System) -> Witnessed:
        """Struck once the kernel throttled it under our limit."""
        state = system.runtime.state(self.target)
        if state.container_id != self.container_before:
            # Re-created with limits of its own, or gone: what we changed is gone with it.
            return Witnessed(struck=False, active=False, seen={"status": state.status})
        use = system.runtime.cpu(self.target)
        # The kernel counts from the container's start: a restart within the fault begins anew.
        is_same_life = state.started_at == self.started_before
        throttled = use.throttled_periods - (self.throttled_before if is_same_life else 0)
        limited = use.limit.cores == self.limit_squeezed.cores
        seen: dict[str, Any] = {"throttled_periods": throttled, "cores": use.limit.cores}
        return Witnessed(limited and throttled > 0, limited, seen)

    def heal(self, system: System) -> None:
        """Give it the limit it had, if it still has ours."""
        if self.observe(system).active:
            system.runtime.limit_cpu(self.target, self.limit_before)


@dataclass(frozen=True, slots=True)
class SqueezeMemory:
    """
    The container may use little more memory than it uses now, and no swap.

    Witness: the kernel's own limit is ours, and it was hit since (its count of refusals grew, or
    it killed for want of memory, which the evidence then says). A container that asks for no more
    is not squeezed. Healed by the limit of before; gone when the kernel no longer has ours. The
    limit survives a restart of the container, as after such a kill.
    """

    kind: ClassVar[str] = "squeeze-memory"
    does: ClassVar[str] = "limit the memory to what is used now and a little more"
    undone_by: ClassVar[str] = "give it the limit it had"
    target: Container
    headroom_mebibytes: int = 8
    limit_before: MemoryLimit = field(default_factory=MemoryLimit)
    limit_squeezed: MemoryLimit = field(default_factory=MemoryLimit)
    cgroup_version: int = 1
    hits_before: int = 0
    oom_kills_before: int = 0
    container_before: str = ""
    started_before: datetime | None = None
    tag: str = field(default_factory=new_tag)
    marks: ClassVar[tuple[str, str]] = ("", "")
    lead_seconds: ClassVar[float] = 0.0

    @property
    def landing_seconds(self) -> float:
        """As long as the engine may take over a request."""
        return LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """The container must run with more than it will be left; its limit will be restored."""
        state = require_running(system, self.target, self.kind)
        kernel = read_cgroup(system.runtime, self.target)
        wanted = kernel.memory_used_bytes + self.headroom_mebibytes * 2**20
        wanted = max(wanted, _LEAST_MEMORY_BYTES)
        wanted -= wanted % -_PAGE_BYTES  # the kernel keeps whole pages
        has = kernel.memory_limit_bytes
        if has is not None and has <= wanted:
            message = (
                f"{self.kind} of {self.target} to {wanted} bytes not begun: it may use {has} "
                "already, so nothing would be squeezed; ask for less headroom_mebibytes"
            )
            raise TargetNotReady(message)
        before = system.runtime.limits(self.target).memory
        return replace(
            self,
            limit_before=before,
            limit_squeezed=before.squeezed_to(wanted),
            cgroup_version=kernel.version,
            hits_before=kernel.memory_hits,
            oom_kills_before=kernel.oom_kills,
            container_before=state.container_id,
            started_before=state.started_at,
        )

    def inject(self, system: System, _at: datetime) -> None:
        """Limit it; `TargetNotReady` where it uses more by now than it would be left."""
        system.runtime.limit(self.target, self.limit_squeezed)

    def observe(self, system: System) -> Witnessed:
        """Struck once our limit was hit."""
        state = system.runtime.state(self.target)
        if state.container_id != self.container_before:
            return Witnessed(struck=False, active=False, seen={"status": state.status})
        is_same_life = state.started_at == self.started_before
        killed = not is_same_life and self._was_oom_killed(system)
        ours = self.limit_squeezed.memory_bytes
        if not state.is_running:
            limited = system.runtime.limits(self.target).memory.memory_bytes == ours
            seen: dict[str, Any] = {"status": state.status, "oom_killed": killed}
            return Witnessed(limited and killed, limited, seen)
        kernel = read_cgroup(system.runtime, self.target)
        hits = kernel.memory_hits - (self.hits_before if is_same_life else 0)
        kills = kernel.oom_kills - (self.oom_kills_before if is_same_life else 0)
        limited = kernel.memory_limit_bytes == ours
        seen = {"limit_bytes": kernel.memory_limit_bytes, "used_bytes": kernel.memory_used_bytes}
        seen |= {"hits": hits, "oom_kills": kills, "oom_killed": killed}
        return Witnessed(limited and (hits > 0 or kills > 0 or killed), limited, seen)

    def heal(self, system: System) -> None:
        """Give it the limit it had, if it still has ours."""
        if self.observe(system).active:
            before = self.limit_before.restorable(self.cgroup_version)
            system.runtime.limit(self.target, before)

    def _was_oom_killed(self, system: System) -> bool:
        since = self.started_before
        return since is not None and bool(system.runtime.happened(self.target, "oom", since))


@dataclass(frozen=True, slots=True)
class SqueezeProcesses:
    """
    The container may have no more processes and threads than it has now.

    Witness: the kernel's own limit is ours, and it refused to begin one since (its count grew).
    Where nothing asks for one, the engine is had to ask, for a program that does not exist.
    Healed by the limit of before; gone when the kernel no longer has ours.
    """

    kind: ClassVar[str] = "squeeze-processes"
    does: ClassVar[str] = "limit processes and threads to those that are there"
    undone_by: ClassVar[str] = "give it the limit it had"
    target: Container
    headroom: int = 0
    limit_before: ProcessLimit = field(default_factory=ProcessLimit)
    limit_squeezed: ProcessLimit = field(default_factory=ProcessLimit)
    refused_before: int = 0
    container_before: str = ""
    started_before: datetime | None = None
    tag: str = field(default_factory=new_tag)
    marks: ClassVar[tuple[str, str]] = ("", "")
    lead_seconds: ClassVar[float] = 0.0

    @property
    def landing_seconds(self) -> float:
        """As long as the engine may take over a request."""
        return LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """The container must run with more than it will be left; its limit will be restored."""
        state = require_running(system, self.target, self.kind)
        kernel = read_cgroup(system.runtime, self.target)
        wanted = max(1, kernel.processes + self.headroom)
        if kernel.process_limit is not None and kernel.process_limit <= wanted:
            message = (
                f"{self.kind} of {self.target} to {wanted} not begun: it may have "
                f"{kernel.process_limit} already, so nothing would be squeezed; ask for less "
                "headroom"
            )
            raise TargetNotReady(message)
        return replace(
            self,
            limit_before=system.runtime.limits(self.target).processes,
            limit_squeezed=ProcessLimit(wanted),
            refused_before=kernel.processes_refused,
            container_before=state.container_id,
            started_before=state.started_at,
        )

    def inject(self, system: System, _at: datetime) -> None:
        """Limit it."""
        system.runtime.limit(self.target, self.limit_squeezed)

    def observe(self, system: System) -> Witnessed:
        """Struck once the kernel refused a process under our limit."""
        state = system.runtime.state(self.target)
        if state.container_id != self.container_before:
            return Witnessed(struck=False, active=False, seen={"status": state.status})
        if not state.is_running:
            limited = system.runtime.limits(self.target).processes == self.limit_squeezed
            return Witnessed(struck=False, active=limited, seen={"status": state.status})
        kernel = read_cgroup(system.runtime, self.target)
        limited = kernel.process_limit == self.limit_squeezed.count
        refused_before = self.refused_before if state.started_at == self.started_before else 0
        if limited and kernel.processes_refused <= refused_before:
            system.runtime.attempt_process(self.target)
            kernel = read_cgroup(system.runtime, self.target)
        refused = kernel.processes_refused - refused_before
        seen = {"limit": kernel.process_limit, "processes": kernel.processes, "refused": refused}
        return Witnessed(limited and refused > 0, limited, seen)

    def heal(self, system: System) -> None:
        """Give it the limit it had, if it still has ours."""
        if self.observe(system).active:
            system.runtime.limit(self.target, self.limit_before)
