"""
Freezing one process inside a container, while the others go on.

A process is told by its number on the engine's host together with its start time, because numbers
are given out again.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Final, Literal, Self

from k2chaos.errors import TargetNotReady, UsageError
from k2chaos.system.faults import System, Witnessed, new_tag
from k2chaos.system.faults.process import HELPER_LEAD_SECONDS, LANDING_SECONDS, require_running
from k2chaos.system.runtime import Container, HelperCall, Process

Identity = tuple[int, int]
"""Number on the engine's host, and start time in ticks since the host booted."""

# After the name, which may contain anything, the start time is the 20th field (proc(5)).
_SIGNAL: Final = """for one in {processes}; do
  stat=$(cat "/proc/${{one%:*}}/stat" 2>/dev/null) || continue
  set -- ${{stat##*) }}
  [ "${{20}}" != "${{one#*:}}" ] || kill -{signal} "${{one%:*}}"
done"""
_STAT: Final = re.compile(r"^(\d+) \(.*\) (.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Freeze:
    """
    The processes of one name are stopped by SIGSTOP, sent from outside; the others of the
    container go on, and so does the kernel, which still answers for the frozen ones' sockets.

    Witness: the engine's own list of the container's processes shows each of them as stopped.
    Healed by SIGCONT to those that are still the same; gone when none of them is listed as stopped,
    or the container was restarted or re-created.

    Attributes:
        process: The program's exact name as the kernel keeps it, at most 15 characters.
    """

    kind: ClassVar[str] = "freeze-process"
    does: ClassVar[str] = "SIGSTOP to the processes of one name inside the container"
    undone_by: ClassVar[str] = "SIGCONT to those that are still the same"
    target: Container
    process: str = ""
    frozen: tuple[Identity, ...] = ()
    container_before: str = ""
    started_before: datetime | None = None
    tag: str = field(default_factory=new_tag)
    marks: ClassVar[tuple[str, str]] = ("", "")
    lead_seconds: ClassVar[float] = HELPER_LEAD_SECONDS
    heal_lead_seconds: ClassVar[float] = 0.0

    @property
    def landing_seconds(self) -> float:
        """As long as the engine may take over a request."""
        return LANDING_SECONDS

    def prepare(self, system: System) -> Self:
        """The container must run processes of this name, none of them stopped."""
        if not str(self.process or "").strip():
            message = f"{self.kind} of {self.target} needs the name of a process"
            raise UsageError(message)
        state = require_running(system, self.target, self.kind)
        found = _called(self.process, self.target, system.runtime.processes(self.target))
        return replace(
            self,
            frozen=_identities(system, [one.pid for one in found]),
            container_before=state.container_id,
            started_before=state.started_at,
        )

    def inject(self, system: System, _at: datetime) -> None:
        """Stop them from a helper in the host's PID namespace."""
        self._send(system, "STOP")

    def observe(self, system: System) -> Witnessed:
        """Struck while all of them are listed as stopped."""
        state = system.runtime.state(self.target)
        is_same = (state.container_id, state.started_at) == (
            self.container_before,
            self.started_before,
        )
        if not is_same or state.status not in {"running", "paused"}:
            return Witnessed(struck=False, active=False, seen={"status": state.status})
        listed = {one.pid: one for one in system.runtime.processes(self.target)}
        states = [listed[pid].state if pid in listed else "gone" for pid, _ in self.frozen]
        seen = {"process": self.process, "states": states}
        return Witnessed({"T"} == set(states), "T" in states, seen)

    def heal(self, system: System) -> None:
        """Let those go on that are stopped and still the same."""
        if self.observe(system).active:
            self._send(system, "CONT")

    def _send(self, system: System, signal: Literal["STOP", "CONT"]) -> None:
        processes = " ".join(f"{pid}:{started}" for pid, started in self.frozen)
        script = _SIGNAL.format(processes=processes, signal=signal)
        call = HelperCall(("sh", "-c", script), sees_host=True, capabilities=("KILL",))
        system.runtime.run_helper(call)


def _called(name: str, target: Container, there: Iterable[Process]) -> tuple[Process, ...]:
    """Those of *there* called *name*; `TargetNotReady` where there is none, or one is stopped."""
    there = tuple(there)
    found = tuple(one for one in there if one.name == name)
    if not found:
        names = ", ".join(sorted({one.name for one in there}))
        message = f"freeze of {target} not begun: no process there is called {name!r}, but: {names}"
        raise TargetNotReady(message)
    if any(one.state == "T" for one in found):
        message = (
            f"freeze of {target} not begun: {name} is stopped already; something else has done it "
            "(`k2chaos status`)"
        )
        raise TargetNotReady(message)
    return found


def _identities(system: System, pids: Iterable[int]) -> tuple[Identity, ...]:
    """Each of *pids* with its start time, as far as it still runs."""
    files = " ".join(f"/proc/{pid}/stat" for pid in pids)
    said = system.runtime.run_helper(
        HelperCall(("sh", "-c", f"cat {files} 2>/dev/null; :"), sees_host=True)
    )
    read = [match for line in said.splitlines() if (match := _STAT.match(line))]
    if not read:
        message = f"{files}: the processes ended while their freeze was prepared; try again"
        raise TargetNotReady(message)
    return tuple((int(one[1]), int(one[2].split()[19])) for one in read)
