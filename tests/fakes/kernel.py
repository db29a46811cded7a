"""The processes that a fake engine's kernel knows, in memory only."""

import re
from dataclasses import dataclass, field

from k2chaos.system.runtime import ContainerState, HelperCall, Process


@dataclass
class FakeKernel:
    """
    Answers the scripts of helpers that look at processes and send them signals.

    Attributes:
        stopped: Numbers of the processes that are stopped.
        ages: Added to a process's start time: it is another one under an old number.
        extra: Names of processes beside ``sh`` and ``sleep``.
    """

    stopped: set[int] = field(default_factory=set)
    ages: dict[int, int] = field(default_factory=dict)
    extra: tuple[str, ...] = ()

    def processes(self, state: ContainerState) -> tuple[Process, ...]:
        """The shell, what it waits for, and the `extra` ones."""
        numbered = ((state.pid + 10_000 * n, name) for n, name in enumerate(self._names()))
        return tuple(Process(pid, "T" if pid in self.stopped else "S", n) for pid, n in numbered)

    def answer(self, call: HelperCall) -> str | None:
        """What the helper prints; ``None`` where it is none of these scripts."""
        script = call.command[-1]
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
