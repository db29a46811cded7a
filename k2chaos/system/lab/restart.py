"""
``k2chaos lab engine --restart``: the engine ended and started again, as an upgrade does.

What runs in containers ends with it and comes back as far as the restart policies promise. Only
where nothing but the lab runs, and only an engine of this host whose daemon we can see.
"""

import itertools
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from k2chaos.errors import LabError, UsageError
from k2chaos.system.engine.address import DEFAULT_SOCKET, engine_address
from k2chaos.system.lab.bootstrap import answers, start_by_hand
from k2chaos.system.lab.clone import PROJECT
from k2chaos.system.lab.docker_api import LabContainer, connect
from k2chaos.system.lab.process import run
from k2chaos.system.lab.progress import Task, tasks

_END_SECONDS: Final = 90.0
"""dockerd gives its containers 15 s, then kills them, and puts its own things away."""
_ANSWER_SECONDS: Final = 90.0
_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running ``dockerd``: its process id, and the command that it was started with."""

    pid: int
    command: tuple[str, ...]

    @property
    def addresses(self) -> frozenset[str]:
        """Where it listens, as far as its command says; its default where it says nothing."""
        words = self.command
        hosts = {after for word, after in itertools.pairwise(words) if word in {"-H", "--host"}}
        hosts |= {word.partition("=")[2] for word in words if word.startswith(("-H=", "--host="))}
        return frozenset(hosts) or frozenset({DEFAULT_SOCKET})


def restart_engine(console: Console) -> None:
    """
    Restart the engine.

    Raises:
        UsageError: Others than the lab run on it, or its daemon is not ours to restart.
        EngineUnreachable: None answers.
        LabError: It did not end, or did not come back; says how.
    """
    address = engine_address()
    refuse_strangers(connect(address).running())
    by_systemd = address == DEFAULT_SOCKET and Path("/run/systemd/system").is_dir()
    if by_systemd and os.geteuid() != 0:
        message = (
            "the engine is not restarted: systemd runs it, and only root may restart it. "
            "Nothing was changed"
        )
        raise UsageError(message)
    with tasks(console) as shown:
        task = shown.task("engine")
        if by_systemd:
            run(["systemctl", "restart", "docker"], task.say)
            if not answers(address, _ANSWER_SECONDS):
                message = "systemd restarted docker, but it is silent: see journalctl -u docker"
                raise LabError(message)
        else:
            daemon = find_daemon(address)
            _end(daemon, task)
            start_by_hand(address, task, daemon.command)
        task.done("restarted")


def refuse_strangers(running: Sequence[LabContainer]) -> None:
    """
    Refuse where containers run that are not the lab's.

    Raises:
        UsageError: Names them.
    """
    strangers = sorted(one.name for one in running if one.project != PROJECT)
    if strangers:
        message = (
            f"the engine is not restarted: {', '.join(strangers)} would end with it, and are not "
            "the lab's. Nothing was changed"
        )
        raise UsageError(message)


def find_daemon(address: str, processes: Path = _PROC) -> Daemon:
    """
    Find the ``dockerd`` of this host that listens at *address*.

    Raises:
        UsageError: There is none that we can see, or more than one.
    """
    found = [one for one in _daemons(processes) if address in one.addresses]
    if len(found) != 1 or os.geteuid() != 0:
        message = (
            f"the engine at {address} is not restarted: {len(found)} daemons of this host say that "
            "they listen there, and only root may restart one. Restart it by its own means. "
            "Nothing was changed"
        )
        raise UsageError(message)
    return found[0]


def _daemons(processes: Path) -> list[Daemon]:
    found = []
    for folder in processes.glob("[0-9]*"):
        try:
            raw = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # gone meanwhile
        words = tuple(word.decode("utf-8", "replace") for word in raw.split(b"\0") if word)
        if words and Path(words[0]).name == "dockerd":
            found.append(Daemon(int(folder.name), words))
    return found


def _end(daemon: Daemon, task: Task) -> None:
    """SIGTERM, and wait for its end; nothing stronger, for it holds everybody's containers."""
    task.say(f"ending dockerd (process {daemon.pid})")
    os.kill(daemon.pid, signal.SIGTERM)
    until = time.monotonic() + _END_SECONDS
    while any(one.pid == daemon.pid for one in _daemons(_PROC)):
        if time.monotonic() > until:
            message = f"dockerd (process {daemon.pid}) does not end within {_END_SECONDS:g} s"
            raise LabError(message)
        time.sleep(0.1)
