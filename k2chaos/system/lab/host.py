"""
What this host is and has, and what follows from it: facts in, plan out.

Nothing is changed here; `k2chaos.system.lab.bootstrap` carries a plan out.
"""

import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from k2chaos.errors import EngineUnreachable
from k2chaos.system.engine.address import DEFAULT_SOCKET, engine_address
from k2chaos.system.lab import apt
from k2chaos.system.lab.compose import find_compose
from k2chaos.system.lab.docker_api import connect

_DEBIAN: Final = frozenset({"debian", "ubuntu"})
# The first that the distribution has: Ubuntu's, Docker's own, Debian's.
_COMPOSE_PACKAGES: Final = ("docker-compose-v2", "docker-compose-plugin", "docker-compose")


class EngineState(StrEnum):
    """How the engine answers."""

    ANSWERS = "answers"
    DENIED = "denied"
    SILENT = "silent"


class Start(StrEnum):
    """How a daemon is started."""

    NOT = "not"
    SYSTEMD = "systemd"
    BY_HAND = "by hand"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """
    What the plan depends on.

    Attributes:
        distribution: ``ID`` and ``ID_LIKE`` of os-release.
        root: Whether we are.
        apt: Whether the package manager is there.
        systemd: Whether it runs this host.
        address: Where the engine is looked for.
        named: Whether the user has named that address (``DOCKER_HOST``, a context).
        engine: How it answers.
        daemon: Whether ``dockerd`` is installed.
        compose: Whether a Compose command is installed.
    """

    distribution: frozenset[str]
    root: bool
    apt: bool
    systemd: bool
    address: str
    named: bool
    engine: EngineState
    daemon: bool
    compose: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What has to be done before there is an engine to work with.

    Attributes:
        install_engine: Its package is missing.
        install_compose: A Compose command is missing.
        start: How to start the daemon.
    """

    install_engine: bool = False
    install_compose: bool = False
    start: Start = Start.NOT


def plan(facts: HostFacts) -> Plan:
    """
    Decide what to do.

    Raises:
        EngineUnreachable: Nothing that we should do on our own helps; says what would.
    """
    if facts.engine is EngineState.DENIED:
        raise EngineUnreachable(_denied(facts))
    ours = facts.root and facts.apt and bool(facts.distribution & _DEBIAN)
    if facts.engine is EngineState.ANSWERS:
        if facts.compose or ours:
            return Plan(install_compose=not facts.compose)
        message = (
            "the container engine answers, but there is no Docker Compose: install it "
            f"({_packages_hint(facts, 'docker-compose')}) and run the command again"
        )
        raise EngineUnreachable(message)
    may_start = facts.root and not facts.named
    if may_start and ((facts.daemon and facts.compose) or ours):
        start = Start.SYSTEMD if facts.systemd else Start.BY_HAND
        return Plan(not facts.daemon, not facts.compose, start)
    raise EngineUnreachable(_silent(facts))


def packages(wanted: Plan, available: Callable[[Collection[str]], frozenset[str]]) -> list[str]:
    """
    Return the packages that carry *wanted* out.

    Args:
        wanted: The plan.
        available: Which of some packages the distribution has.

    Raises:
        EngineUnreachable: It has none of the packages that bring Compose.
    """
    # Newer distributions have cut the client, which runs Compose, off the engine's package.
    client = sorted(available(["docker-cli"]))
    names = ["docker.io", "iptables", *client] if wanted.install_engine else client
    if not wanted.install_compose:
        return names
    there = available(_COMPOSE_PACKAGES)
    compose = next((name for name in _COMPOSE_PACKAGES if name in there), None)
    if compose is None:
        message = "the distribution has no package of Docker Compose: install it by hand"
        raise EngineUnreachable(message)
    return [*names, compose]


def look(os_release: Path = Path("/etc/os-release")) -> HostFacts:
    """Gather the facts of this host."""
    address = engine_address()
    return HostFacts(
        distribution=read_distribution(os_release),
        root=os.geteuid() == 0,
        apt=apt.usable(),
        systemd=Path("/run/systemd/system").is_dir(),
        address=address,
        named=address != DEFAULT_SOCKET,
        engine=_engine_state(address),
        daemon=shutil.which("dockerd") is not None,
        compose=find_compose() is not None,
    )


def read_distribution(path: Path) -> frozenset[str]:
    """Return ``ID`` and ``ID_LIKE`` of an os-release file; nothing where there is none."""
    if not path.is_file():
        return frozenset()
    lines = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
    values = {key.strip(): value.strip().strip("\"'") for key, _, value in lines}
    return frozenset(f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".lower().split())


def _engine_state(address: str) -> EngineState:
    try:
        connect(address)
    except EngineUnreachable as error:
        denied = "permission denied" in str(error).lower() or "PermissionError" in str(error)
        return EngineState.DENIED if denied else EngineState.SILENT
    return EngineState.ANSWERS


def _denied(facts: HostFacts) -> str:
    return (
        f"the container engine at {facts.address} is there, but this user may not use it: add the "
        "user to the group that owns the socket (usually: sudo usermod -aG docker $USER, then log "
        "in again), or run the command as root; nothing was changed"
    )


def _silent(facts: HostFacts) -> str:
    head = f"no container engine answers at {facts.address}"
    if facts.named:
        return (
            f"{head}, which DOCKER_HOST or the current docker context names: start it, or unset "
            "them to use the default; nothing was changed"
        )
    if facts.daemon:
        return f"{head}: it is installed, start it (as root: systemctl start docker, or dockerd)"
    hint = _packages_hint(facts, "docker.io iptables docker-compose")
    as_root = ", or run this command as root, which does it" if facts.distribution & _DEBIAN else ""
    return (
        f"{head}: install Docker Engine and Docker Compose ({hint}), start it, and run the command "
        f"again{as_root}; nothing was changed"
    )


def _packages_hint(facts: HostFacts, names: str) -> str:
    if facts.distribution & _DEBIAN:
        return f"sudo apt-get install {names}"
    return "with the means of this system; on a desktop, Docker Desktop brings both"
