"""The package manager of Debian and Ubuntu, as root."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence

from k2chaos.system.lab.process import run
from k2chaos.system.lab.progress import Task

# Whoever else installs something just now (unattended upgrades) is waited for.
_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-q")


def usable() -> bool:
    """Whether this host has apt."""
    return shutil.which("apt-get") is not None and shutil.which("apt-cache") is not None


def update(task: Task) -> None:
    """Fetch the lists of packages."""
    run([*_APT, "update"], task.say, _environ())


def available(names: Iterable[str]) -> frozenset[str]:
    """Return those of *names* that the distribution can install."""
    found = set()
    for name in names:
        answer = subprocess.run(
            ["apt-cache", "policy", name], capture_output=True, text=True, check=False,
            env=_environ(),
        )  # fmt: skip
        if "Candidate:" in answer.stdout and "Candidate: (none)" not in answer.stdout:
            found.add(name)
    return frozenset(found)


def install(packages: Sequence[str], task: Task) -> None:
    """
    Install *packages*.

    Raises:
        LabError: apt refused; carries what it said last.
    """
    update(task)
    command = [*_APT, "install", "-y", "--no-install-recommends", *packages]
    run(command, task.say, _environ())


def _environ() -> dict[str, str]:
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
