"""Ports the lab publishes: free, ours already, or held by somebody who is named."""

import contextlib
import errno
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from k2chaos.errors import UsageError
from k2chaos.system.lab.clone import PROJECT
from k2chaos.system.lab.compose_file import Publication
from k2chaos.system.lab.docker_api import LabContainer

_LISTENING: Final = "0A"
_OUR_ADDRESSES: Final = frozenset({"127.0.0.1", "0.0.0.0", "::"})  # noqa: S104 - compared only


def check_ports(wanted: Iterable[Publication], running: Iterable[LabContainer]) -> None:
    """
    Refuse to start while somebody else holds a port the lab publishes.

    Args:
        wanted: What the lab publishes.
        running: Every running container of the engine; those of the lab may hold its ports.

    Raises:
        UsageError: Names every such port, its service, and who holds it as far as can be seen.
    """
    found = conflicts(wanted, _held(running), is_taken, process_on)
    if found:
        lines = "\n  ".join(found)
        message = (
            f"the lab cannot start, ports it publishes are taken:\n  {lines}\n"
            "stop what holds them and run the command again"
        )
        raise UsageError(message)


def conflicts(
    wanted: Iterable[Publication],
    held: Mapping[int, LabContainer],
    taken: Callable[[str, int], bool],
    process: Callable[[int], str],
) -> list[str]:
    """
    Return one line for every port that is not to be had.

    Args:
        wanted: What the lab publishes.
        held: Containers by the ports they publish.
        taken: Whether a port cannot be bound.
        process: Who listens on a port, in words; empty if that cannot be seen.
    """
    lines = []
    for one in wanted:
        holder = held.get(one.port)
        if holder is not None and holder.project == PROJECT:
            continue
        head = f"{one.address}:{one.port} (for {one.service}) is held by"
        if holder is not None:
            project = f" of Compose project {holder.project}" if holder.project else ""
            lines.append(f"{head} container {holder.name}{project}")
        elif taken(one.address, one.port):
            lines.append(f"{head} {process(one.port) or 'a process that cannot be seen from here'}")
    return lines


def _held(containers: Iterable[LabContainer]) -> dict[int, LabContainer]:
    found = {}
    for container in containers:
        for port in container.ports:
            address, _, number = port.partition("->")[0].rpartition(":")
            if number.isdigit() and address in _OUR_ADDRESSES:
                found[int(number)] = container
    return found


def is_taken(address: str, port: int) -> bool:
    """Whether somebody listens on a port already."""
    with socket.socket() as probe:
        # Connections that have ended only linger; they do not keep the engine from binding.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def process_on(port: int, proc: Path = Path("/proc")) -> str:
    """Return ``process 4711 (name)`` for who listens on *port*; empty if it cannot be seen."""
    inodes = {
        inode for table in ("tcp", "tcp6") for inode in _listeners(proc / "net" / table, port)
    }
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for folder in proc.glob("[0-9]*"):
        if wanted & _open_files(folder):
            with contextlib.suppress(OSError):
                name = (folder / "comm").read_text(encoding="utf-8").strip()
                return f"process {folder.name} ({name})"
    return ""


def _open_files(process: Path) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for link in (process / "fd").iterdir():
            # Files are closed while we look; one that is gone was not a listener.
            with contextlib.suppress(OSError):
                found.add(str(link.readlink()))
    return found


def _listeners(table: Path, port: int) -> Iterable[str]:
    try:
        rows = [line.split() for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    except OSError:
        return []
    here = f":{port:04X}"
    return [row[9] for row in rows if row[1].endswith(here) and row[3] == _LISTENING]
