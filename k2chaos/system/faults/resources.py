"""
Faults of resources: what a container may use is squeezed, and given back exactly.

Witness of all of them: the kernel, which counts what it withheld; the engine's own account of the
limit alone is not believed, because that is what the injection wrote.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Self

from k2chaos.errors import TargetNotReady
from k2chaos.system.faults import System, Witnessed, new_tag
from k2chaos.system.faults.process import LANDING_SECONDS, require_running
from k2chaos.system.runtime import Container, CpuLimit


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
