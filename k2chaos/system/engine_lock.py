"""
One run per pipeline on an engine, whoever started it and from wherever.

The lock file of `k2chaos.evidence.state` is one user's; engines are shared. So a run also creates
a container that is never started, under a name that only one can have: the engine refuses the
second. Its labels say who holds it. They cannot change, so no heartbeat can be kept in them; they
name the process and the kernel it runs under instead, and whoever finds them there can look. From
another host nobody can: the lock is then respected, and the message says how to remove it.

A lock is removed by the id of its container, never by its name: two that find one abandoned cannot
both take it over.
"""

import getpass
import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from k2chaos.errors import LockedByAnother
from k2chaos.system.runtime import Runtime

logger = logging.getLogger("chaostoolkit")

LOCK: Final = "k2chaos.lock"
"""The label that all locks have: the Compose project they are for."""
_ATTEMPTS: Final = 5
_PROC: Final = Path("/proc")
_DEAD: Final = frozenset({"Z", "X"})
"""A process that has ended and waits to be collected holds nothing any more (proc(5))."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A container that stands for something; it is never started."""

    identifier: str
    labels: Mapping[str, str]


class Marks(Protocol):
    """Where names are unique: an engine. The fake obeys the same contract suite."""

    def mark(self, name: str, labels: Mapping[str, str], project: str) -> bool:
        """
        Create a mark; ``False`` where the name is taken.

        Args:
            project: The mark is made from an image that this Compose project has on the engine,
                so that nothing is pulled; it is no part of the project.
        """

    def marks(self, label: str) -> tuple[Mark, ...]:
        """All marks that have *label*."""

    def unmark(self, identifier: str) -> None:
        """Remove one; none is an error."""


class Engine(Runtime, Marks, Protocol):
    """What a run needs of an engine."""

    def version(self) -> str:
        """The engine's version."""


def lock_name(project: str) -> str:
    """What the lock's container is called."""
    return f"k2chaos-lock-{project}"


def take(marks: Marks, project: str, run: str, since: str) -> None:
    """
    Take the lock on *project* for this process.

    Raises:
        LockedByAnother: Somebody holds it who lives, or of whom that cannot be known.
    """
    labels = {LOCK: project, **_here(), f"{LOCK}.run": run, f"{LOCK}.since": since}
    for _ in range(_ATTEMPTS):
        if marks.mark(lock_name(project), labels, project):
            return
        other = holder(marks, project)
        if other is None:
            continue  # it was let go meanwhile
        if not is_abandoned(other.labels):
            raise LockedByAnother(_refusal(project, other))
        logger.warning("taking over the lock that %s left", described(other))
        marks.unmark(other.identifier)
    message = (
        f"the lock on {project} could not be had in {_ATTEMPTS} tries: is there a container called "
        f"{lock_name(project)} that is none of ours? Nothing was touched"
    )
    raise LockedByAnother(message)


def release(marks: Marks, project: str, run: str) -> None:
    """Let go of the lock, if *run* has it."""
    found = holder(marks, project)
    if found is not None and found.labels.get(f"{LOCK}.run") == run:
        marks.unmark(found.identifier)


def holder(marks: Marks, project: str) -> Mark | None:
    """Who holds the lock on *project*."""
    return next((one for one in marks.marks(LOCK) if one.labels.get(LOCK) == project), None)


def described(lock: Mark) -> str:
    """Who holds it, in a line."""
    said = {name.rpartition(".")[2]: value for name, value in lock.labels.items()}
    return (
        f"run {said.get('run')} of user {said.get('user')} on host {said.get('host')} "
        f"(process {said.get('pid')}, since {said.get('since')})"
    )


def is_abandoned(labels: Mapping[str, str]) -> bool:
    """
    Whether the holder is known to be dead: its process under this kernel, or all of its host's
    since this host was started anew. Of any other host, or another PID namespace, nothing is
    known, and it is not.
    """
    here = _here()

    def same(name: str) -> bool:
        return labels.get(f"{LOCK}.{name}") == here[f"{LOCK}.{name}"]

    if not same("boot"):
        return bool(here[f"{LOCK}.machine"]) and same("machine") and same("host")
    if not (same("namespace") and same("host" if not here[f"{LOCK}.boot"] else "boot")):
        return False
    pid = labels.get(f"{LOCK}.pid", "")
    return pid.isdecimal() and _began(int(pid)) != labels.get(f"{LOCK}.began")


def _refusal(project: str, other: Mark) -> str:
    return (
        f"pipeline {project} is held by {described(other)}; wait for it to end. If you know that "
        f"it is dead: `k2chaos stop --force {project}`, or `docker rm {lock_name(project)}`. "
        "Nothing was touched"
    )


def _here() -> dict[str, str]:
    """This process, and under which kernel it runs; empty where the system does not say."""
    pid = os.getpid()
    facts = {
        "user": getpass.getuser(),
        "host": platform.node(),
        "machine": _text(Path("/etc/machine-id")),
        "boot": _text(_PROC / "sys/kernel/random/boot_id"),
        "namespace": _namespace(),
        "pid": str(pid),
        "began": _began(pid),
    }
    return {f"{LOCK}.{name}": value for name, value in facts.items()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def _began(pid: int) -> str:
    """When the process began, in the kernel's ticks: a number is used again, this pair is not."""
    stat = _text(_PROC / str(pid) / "stat")
    if stat:
        state, *rest = stat.rpartition(")")[2].split()
        return "gone" if state in _DEAD else rest[18]
    if _PROC.is_dir():
        return "gone"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        return "there"
    return "there"
