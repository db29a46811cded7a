"""Getting a container engine: use the one that answers, else install and start one where we may."""

import contextlib
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import platformdirs
from rich.console import Console

from k2chaos.errors import EngineUnreachable, LabError
from k2chaos.system.lab import apt
from k2chaos.system.lab.docker_api import LabEngine, connect
from k2chaos.system.lab.host import HostFacts, Plan, Start, look, packages, plan
from k2chaos.system.lab.process import run
from k2chaos.system.lab.progress import Task, tasks

_START_SECONDS: Final = 90.0
_SETTLE_SECONDS: Final = 3.0
_TAIL_LINES: Final = 15
_DEAD: Final = frozenset("ZX")
_PID_FILES: Final = {
    Path("/var/run/docker.pid"): "dockerd",
    Path("/var/run/docker/containerd/containerd.pid"): "containerd",
}


def ready_engine(console: Console) -> LabEngine:
    """
    Return the engine, installed and started first where that is needed and ours to do.

    Raises:
        EngineUnreachable: There is none and we should not make one; says what to do.
        LabError: Installing or starting it failed; says how.
    """
    facts = look()
    todo = plan(facts)
    if todo != Plan():
        with tasks(console) as shown:
            task = shown.task("engine")
            _carry_out(todo, facts, task)
            task.done("ready")
    return connect(facts.address)


def _carry_out(todo: Plan, facts: HostFacts, task: Task) -> None:
    if todo.install_engine or todo.install_compose:
        apt.update(task)
        apt.install(packages(todo, apt.available), task)
    # A package may have started its daemon by itself; that takes a moment.
    if todo.start is Start.NOT or answers(facts.address, _SETTLE_SECONDS):
        return
    if todo.start is Start.SYSTEMD:
        run(["systemctl", "start", "docker"], task.say)
        if not answers(facts.address, _START_SECONDS):
            message = "systemd started docker, but it does not answer: see journalctl -u docker"
            raise LabError(message)
        return
    start_by_hand(facts.address, task)


def start_by_hand(address: str, task: Task, command: Sequence[str] = ("dockerd",)) -> None:
    """
    Start a daemon in a session of its own, so that it outlives this command; wait for its answer.

    Raises:
        LabError: It ended, or is silent; carries the end of its log.
    """
    folder = platformdirs.user_state_path("k2chaos", ensure_exists=True)
    log = folder / "dockerd.log"
    _drop_stale_pid_files()
    with log.open("ab") as out:
        before = out.tell()
        daemon = subprocess.Popen(
            command, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    task.say(f"started dockerd; its log is {log}")
    deadline = time.monotonic() + _START_SECONDS
    while not answers(address, 0.5):
        if daemon.poll() is not None or time.monotonic() > deadline:
            ended = f"ended with {daemon.returncode}" if daemon.poll() is not None else "is silent"
            lines = log.read_bytes()[before:].decode("utf-8", "replace").splitlines()
            message = f"dockerd {ended}; the end of its log ({log}):"
            raise LabError("\n".join([message, *lines[-_TAIL_LINES:]]))


def answers(address: str, seconds: float) -> bool:
    """Whether an engine answers at *address* within *seconds*."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connect(address)
        except EngineUnreachable:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.2)
        else:
            return True


def _drop_stale_pid_files() -> None:
    """
    Remove what a killed daemon left: another process may have its number by now.

    dockerd does not start, or waits for a containerd that is not there, while any process, were
    it dead and not yet collected, has the number in such a file.
    """
    for path, program in _PID_FILES.items():
        with contextlib.suppress(OSError, ValueError):
            if not _lives(int(path.read_text(encoding="utf-8")), program):
                path.unlink()


def _lives(pid: int, program: str) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    name, _, rest = stat.partition("(")[2].rpartition(")")
    return name == program and rest.split()[0] not in _DEAD
