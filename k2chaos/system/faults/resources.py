"""
Faults of resources: what a container may use is squeezed, and given back exactly.

Witness of all of them: the kernel, which counts what it withheld; the engine's own account of the
limit alone is not believed, because that is what the injection wrote.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Final, Self

from k2chaos.errors import TargetNotReady
from k2chaos.system.faults import System, Witnessed, new_tag
from k2chaos.system.faults.process import LANDING_SECONDS, bring_up, require_running
from k2chaos.system.limits import FEWEST_BYTES, CpuLimit, MemoryLimit, ProcessLimit
from k2chaos.system.runtime import Container

_MIB: Final = 1024**2
_BINDING_SHARE: Final = 0.8
"""Of a limit that is in force: with less of it in use, it withholds nothing."""


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
    heal_lead_seconds: ClassVar[float] = 0.0

    @property
    def landing_seconds(self) -> float:
        """As long as the engine may take over a request."""
        return LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """The container must run with more than it will be left; its limit will be restored."""
        state = require_running(system, self.target, self.kind)
        use = system.runtime.use(self.target).cpu
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
        system.runtime.limit(self.target, self.limit_squeezed)

    def observe(self, system: System) -> Witnessed:
        """Struck once the kernel throttled it under our limit."""
        state = system.runtime.state(self.target)
        if state.container_id != self.container_before:
            # Re-created with limits of its own, or gone: what we changed is gone with it.
            return Witnessed(struck=False, active=False, seen={"status": state.status})
        use = system.runtime.use(self.target).cpu
        # The kernel counts from the container's start: a restart within the fault begins anew.
        is_same_life = state.started_at == self.started_before
        throttled = use.throttled_periods - (self.throttled_before if is_same_life else 0)
        limited = use.limit.cores == self.limit_squeezed.cores
        seen: dict[str, Any] = {"throttled_periods": throttled, "cores": use.limit.cores}
        return Witnessed(limited and throttled > 0, limited, seen)

    def heal(self, system: System) -> None:
        """Give it the limit it had, if it still has ours."""
        if system.runtime.state(self.target).container_id != self.container_before:
            return
        if system.runtime.limits(self.target).cpu.cores == self.limit_squeezed.cores:
            system.runtime.limit(self.target, self.limit_before)


@dataclass(frozen=True, slots=True)
class SqueezeMemory:
    """
    The container gets what it uses now and a little more, and no swap: what it asks for beyond
    that, the kernel takes from its caches, and then it kills. Pages of files that it has not used
    of late do not count, and are taken at once.

    Witness: the kernel enforces our limit, and most of it was in use when it began, or the kernel
    has killed for lack of memory since `prepare` (recorded as ``out_of_memory_at``).
    Healed by the limit of before, and by starting the container where it died of the squeeze and
    nobody else brought it back. Where it had no limit, the engine lists the largest number there
    is, which limits nothing.

    Attributes:
        headroom_mib: How much more than it uses now, in MiB.
    """

    kind: ClassVar[str] = "squeeze-memory"
    does: ClassVar[str] = "limit the memory to what is used now, and a little more"
    undone_by: ClassVar[str] = "give it the limit it had"
    target: Container
    headroom_mib: int = 8
    limit_before: MemoryLimit = field(default_factory=MemoryLimit)
    limit_squeezed: MemoryLimit = field(default_factory=MemoryLimit)
    killed_before: datetime | None = None
    container_before: str = ""
    started_before: datetime | None = None
    tag: str = field(default_factory=new_tag)
    marks: ClassVar[tuple[str, str]] = ("update", "update")
    lead_seconds: ClassVar[float] = 0.0
    heal_lead_seconds: ClassVar[float] = 0.0

    @property
    def landing_seconds(self) -> float:
        """As long as the engine may take over a request."""
        return LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """The container must run with more than it will be left; its limit will be restored."""
        state = require_running(system, self.target, self.kind)
        use = system.runtime.use(self.target).memory
        limit = max(FEWEST_BYTES, use.used_bytes + self.headroom_mib * _MIB)
        if use.effective_bytes is not None and use.effective_bytes <= limit:
            message = (
                f"{self.kind} of {self.target} to {limit / _MIB:.0f} MiB not begun: it may use "
                f"{use.effective_bytes / _MIB:.0f} MiB as it is; ask for less headroom"
            )
            raise TargetNotReady(message)
        return replace(
            self,
            limit_before=use.limit,
            limit_squeezed=MemoryLimit(limit, limit),
            killed_before=self._killed_at(system, state.started_at),
            container_before=state.container_id,
            started_before=state.started_at,
        )

    def inject(self, system: System, _at: datetime) -> None:
        """Limit it."""
        system.runtime.limit(self.target, self.limit_squeezed)

    def observe(self, system: System) -> Witnessed:
        """Struck while our limit is in force and used up, or once the kernel killed under it."""
        state = system.runtime.state(self.target)
        if state.container_id != self.container_before:
            return Witnessed(struck=False, active=False, seen={"status": state.status})
        use = system.runtime.use(self.target).memory
        ours = self.limit_squeezed.memory_bytes
        in_force = (use.effective_bytes or use.limit.memory_bytes) == ours
        killed = self._killed_at(system, self.started_before)
        has_killed = killed is not None and killed != self.killed_before
        seen = {
            "limit_bytes": use.effective_bytes,
            "used_bytes": use.used_bytes,
            "out_of_memory_at": killed.isoformat() if killed and has_killed else None,
            "status": state.status,
        }
        is_binding = has_killed or use.used_bytes >= _BINDING_SHARE * ours
        return Witnessed(in_force and is_binding, in_force or not state.pid, seen, in_force)

    def heal(self, system: System) -> None:
        """Give it the limit it had, if it still has ours; start it, if it died of that."""
        if system.runtime.state(self.target).container_id != self.container_before:
            return
        if system.runtime.limits(self.target).memory == self.limit_squeezed:
            system.runtime.limit(self.target, self.limit_before)
        bring_up(system, self.target)

    def _killed_at(self, system: System, since: datetime | None) -> datetime | None:
        return system.runtime.happened(self.target, "oom", since) if since else None


@dataclass(frozen=True, slots=True)
class SqueezeProcesses:
    """
    The container may have as many processes and threads as it has now, and a few more: whatever
    would start another one is refused.

    Witness: the kernel enforces our limit, and most of it was in use when it began. Healed by
    the limit of before, and by starting the container where it died of the squeeze and nobody else
    brought it back.

    Attributes:
        headroom: How many more than there are now.
    """

    kind: ClassVar[str] = "squeeze-processes"
    does: ClassVar[str] = "limit processes and threads to those there are now, and a few more"
    undone_by: ClassVar[str] = "give it the limit it had"
    target: Container
    headroom: int = 0
    limit_before: ProcessLimit = field(default_factory=ProcessLimit)
    limit_squeezed: ProcessLimit = field(default_factory=ProcessLimit)
    container_before: str = ""
    tag: str = field(default_factory=new_tag)
    marks: ClassVar[tuple[str, str]] = ("update", "update")
    lead_seconds: ClassVar[float] = 0.0
    heal_lead_seconds: ClassVar[float] = 0.0

    @property
    def landing_seconds(self) -> float:
        """As long as the engine may take over a request."""
        return LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """The container must run with more than it will be left; its limit will be restored."""
        state = require_running(system, self.target, self.kind)
        use = system.runtime.use(self.target).processes
        limit = use.running + self.headroom
        if use.effective_count is not None and use.effective_count <= limit:
            message = (
                f"{self.kind} of {self.target} to {limit} not begun: it may have "
                f"{use.effective_count} as it is; ask for less headroom"
            )
            raise TargetNotReady(message)
        return replace(
            self,
            limit_before=use.limit,
            limit_squeezed=ProcessLimit(limit),
            container_before=state.container_id,
        )

    def inject(self, system: System, _at: datetime) -> None:
        """Limit it."""
        system.runtime.limit(self.target, self.limit_squeezed)

    def observe(self, system: System) -> Witnessed:
        """Struck while our limit is in force and used up."""
        state = system.runtime.state(self.target)
        if state.container_id != self.container_before:
            return Witnessed(struck=False, active=False, seen={"status": state.status})
        use = system.runtime.use(self.target).processes
        ours = self.limit_squeezed.count
        in_force = (use.effective_count or use.limit.count) == ours
        seen = {"limit": use.effective_count, "running": use.running, "status": state.status}
        # Died of it, and cannot come back: that is the squeeze at its strongest.
        is_binding = not state.pid or use.running >= _BINDING_SHARE * ours
        return Witnessed(in_force and is_binding, in_force or not state.pid, seen, in_force)

    def heal(self, system: System) -> None:
        """Give it the limit it had, if it still has ours; start it, if it died of that."""
        if system.runtime.state(self.target).container_id != self.container_before:
            return
        if system.runtime.limits(self.target).processes == self.limit_squeezed:
            system.runtime.limit(self.target, self.limit_before)
        bring_up(system, self.target)
