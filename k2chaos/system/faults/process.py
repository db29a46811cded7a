"""
Faults of processes: what happens to a container as a whole.

Witness of all of them: the engine's own account of the container (status, start time, main
process, restart count), asked anew each time; never the answer to the call that injected.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Self

from k2chaos.errors import TargetNotReady
from k2chaos.system.faults import System, Witnessed, new_tag
from k2chaos.system.runtime import Container, ContainerState, HelperCall

_DOWN = frozenset({"exited", "dead", "created", "missing"})
LANDING_SECONDS = 2.0
"""For how long the engine may go on with a request whose sender is dead."""

PAUSE_LEAD_SECONDS = 0.018
UNPAUSE_LEAD_SECONDS = 0.0145
KILL_LEAD_SECONDS = 0.075
HELPER_LEAD_SECONDS = 0.3
"""
From the call to its effect, estimated from the engine's answering times; the evidence says how
far off the start was (`start_error_seconds`). Measured by ``benchmarks/timing.py``.
"""


@dataclass(frozen=True, slots=True)
class Pause:
    """
    Every process of the container is frozen; address and open sockets stay.

    Witness: the engine reports ``paused``. Healed by thawing; gone when it no longer says so.
    """

    kind: ClassVar[str] = "pause"
    does: ClassVar[str] = "freeze every process"
    undone_by: ClassVar[str] = "thaw them"
    target: Container
    tag: str = field(default_factory=new_tag)
    marks: ClassVar[tuple[str, str]] = ("pause", "unpause")
    lead_seconds: ClassVar[float] = PAUSE_LEAD_SECONDS
    heal_lead_seconds: ClassVar[float] = UNPAUSE_LEAD_SECONDS

    @property
    def landing_seconds(self) -> float:
        """As long as the engine may take over a request."""
        return LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """The container must run."""
        require_running(system, self.target, self.kind)
        return self

    def inject(self, system: System, _at: datetime) -> None:
        """Freeze it."""
        system.runtime.send(self.target, "pause")

    def observe(self, system: System) -> Witnessed:
        """Frozen or not."""
        state = system.runtime.state(self.target)
        return Witnessed(state.status == "paused", state.status == "paused", _facts(state))

    def heal(self, system: System) -> None:
        """Thaw it, if it is frozen."""
        if system.runtime.state(self.target).status == "paused":
            system.runtime.send(self.target, "unpause")


@dataclass(frozen=True, slots=True)
class Stop:
    """
    The operator stops the container: SIGTERM, then SIGKILL when the grace period is over.

    Witness: the engine reports it exited. Healed by starting it; gone when a main process runs.
    """

    kind: ClassVar[str] = "stop"
    does: ClassVar[str] = "SIGTERM, then SIGKILL after the grace period"
    undone_by: ClassVar[str] = "start the container"
    target: Container
    grace_seconds: float = 10.0
    tag: str = field(default_factory=new_tag)
    marks: ClassVar[tuple[str, str]] = ("die", "start")
    lead_seconds: ClassVar[float] = 0.0
    heal_lead_seconds: ClassVar[float] = 0.0

    @property
    def landing_seconds(self) -> float:
        """The grace period, and what the engine needs beside."""
        return self.grace_seconds + LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """The container must run."""
        require_running(system, self.target, self.kind)
        return self

    def inject(self, system: System, _at: datetime) -> None:
        """Stop it; returns when it has exited."""
        system.runtime.send(self.target, "stop", self.grace_seconds)

    def observe(self, system: System) -> Witnessed:
        """Down or not."""
        return _down(system, self.target)

    def heal(self, system: System) -> None:
        """Start it, if it is down."""
        bring_up(system, self.target)


@dataclass(frozen=True, slots=True)
class Kill:
    """
    The operator kills the container: SIGKILL by the engine, which then keeps it down, whatever
    the restart policy (the engine takes it for the operator's wish).

    Witness: the engine reports it exited. Healed by starting it; gone when a main process runs.
    """

    kind: ClassVar[str] = "kill"
    does: ClassVar[str] = "SIGKILL by the engine; the restart policy does not act"
    undone_by: ClassVar[str] = "start the container"
    target: Container
    tag: str = field(default_factory=new_tag)
    marks: ClassVar[tuple[str, str]] = ("die", "start")
    lead_seconds: ClassVar[float] = KILL_LEAD_SECONDS
    heal_lead_seconds: ClassVar[float] = KILL_LEAD_SECONDS

    @property
    def landing_seconds(self) -> float:
        """As long as the engine may take over a request."""
        return LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """The container must run."""
        require_running(system, self.target, self.kind)
        return self

    def inject(self, system: System, _at: datetime) -> None:
        """Kill it."""
        system.runtime.send(self.target, "kill")

    def observe(self, system: System) -> Witnessed:
        """Down or not."""
        return _down(system, self.target)

    def heal(self, system: System) -> None:
        """Start it, if it is down."""
        bring_up(system, self.target)


@dataclass(frozen=True, slots=True)
class Restart:
    """
    The operator restarts the container: stopped with a grace period, started again.

    Witness: the engine reports a later start than before. Gone when a main process runs; heal
    starts it where the restart left it down.
    """

    kind: ClassVar[str] = "restart"
    does: ClassVar[str] = "SIGTERM, SIGKILL after the grace period, start"
    undone_by: ClassVar[str] = "nothing to undo; started if it is left down"
    target: Container
    grace_seconds: float = 10.0
    started_before: datetime | None = None
    tag: str = field(default_factory=new_tag)
    marks: ClassVar[tuple[str, str]] = ("die", "start")
    lead_seconds: ClassVar[float] = 0.0
    heal_lead_seconds: ClassVar[float] = 0.0

    @property
    def landing_seconds(self) -> float:
        """The grace period, and what the engine needs beside."""
        return self.grace_seconds + LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """The container must run; its start time is what the witness compares with."""
        state = require_running(system, self.target, self.kind)
        return replace(self, started_before=state.started_at)

    def inject(self, system: System, _at: datetime) -> None:
        """Restart it; returns when it is started."""
        system.runtime.send(self.target, "restart", self.grace_seconds)

    def observe(self, system: System) -> Witnessed:
        """Struck once the start time moved."""
        return _restarted(system, self.target, self.started_before)

    def heal(self, system: System) -> None:
        """Start it, if it is down."""
        bring_up(system, self.target)


@dataclass(frozen=True, slots=True)
class Crash:
    """
    The main process is killed from outside (SIGKILL from the engine host's PID namespace), as a
    segmentation fault or the kernel's out-of-memory killer would: the restart policy acts.

    Witness: the main process of before is gone, or the start time or restart count moved. Heal
    waits for the restart policy and starts the container only where there is none, or where it has
    given up (the evidence says which); gone when a main process runs again.
    """

    kind: ClassVar[str] = "crash"
    does: ClassVar[str] = "SIGKILL of the main process from outside"
    undone_by: ClassVar[str] = "the restart policy; started by heal where it does not act"
    target: Container
    pid_before: int = 0
    started_before: datetime | None = None
    restart_policy: str = ""
    tag: str = field(default_factory=new_tag)
    marks: ClassVar[tuple[str, str]] = ("die", "start")
    lead_seconds: ClassVar[float] = HELPER_LEAD_SECONDS
    heal_lead_seconds: ClassVar[float] = 0.0

    @property
    def landing_seconds(self) -> float:
        """As long as the engine may take over a request."""
        return LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """The container must run; its main process is what will be killed."""
        state = require_running(system, self.target, self.kind)
        return replace(
            self,
            pid_before=state.pid,
            started_before=state.started_at,
            restart_policy=state.restart_policy,
        )

    def inject(self, system: System, _at: datetime) -> None:
        """Kill the main process from a helper in the host's PID namespace."""
        state = system.runtime.state(self.target)
        if state.pid != self.pid_before or state.started_at != self.started_before:
            # The number may belong to somebody else by now.
            message = f"{self.target} was restarted by somebody else while its crash was prepared"
            raise TargetNotReady(message)
        kill = HelperCall(
            ("sh", "-c", f"kill -KILL {self.pid_before}"),
            sees_host=True,
            capabilities=("KILL",),
        )
        system.runtime.run_helper(kill)

    def observe(self, system: System) -> Witnessed:
        """Struck once the main process is another, or none."""
        witnessed = _restarted(system, self.target, self.started_before)
        return replace(witnessed, seen={**witnessed.seen, "restart_policy": self.restart_policy})

    def heal(self, system: System) -> Mapping[str, Any] | None:
        """Start it where no restart policy will: one that is about to act says ``restarting``."""
        is_started = bring_up(system, self.target)
        return {"started_again_by": "heal"} if is_started else None


def require_running(system: System, target: Container, kind: str) -> ContainerState:
    """The state of *target*, which must be running for *kind* to start; else `TargetNotReady`."""
    state = system.runtime.state(target)
    if not state.is_running:
        message = (
            f"{kind} of {target} not begun: it is {state.status}, not running; "
            "something else has already changed it (`k2chaos status`)"
        )
        raise TargetNotReady(message)
    return state


def _down(system: System, target: Container) -> Witnessed:
    state = system.runtime.state(target)
    return Witnessed(state.status in _DOWN, not state.is_running, _facts(state))


def _restarted(system: System, target: Container, before: datetime | None) -> Witnessed:
    state = system.runtime.state(target)
    struck = not state.is_running or state.started_at != before
    return Witnessed(struck, not state.is_running, _facts(state))


def bring_up(system: System, target: Container) -> bool:
    """Start *target*, if it is down; whether it was."""
    is_down = system.runtime.state(target).status in _DOWN
    if is_down:
        system.runtime.send(target, "start")
    return is_down


def _facts(state: ContainerState) -> dict[str, Any]:
    return {
        "status": state.status,
        "pid": state.pid,
        "restart_count": state.restart_count,
        "started_at": state.started_at.isoformat() if state.started_at else None,
    }
