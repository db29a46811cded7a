"""``k2chaos lab up``: from whatever is there to a healthy lab."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import platformdirs
from filelock import FileLock, Timeout
from rich.console import Console

from k2chaos.errors import LabError, UsageError
from k2chaos.system.lab.bootstrap import ready_engine
from k2chaos.system.lab.bugs import check_bugs
from k2chaos.system.lab.clone import PROJECT, Stack, find_stack
from k2chaos.system.lab.compose import Compose, environment, find_compose
from k2chaos.system.lab.compose_file import ServiceSpec, read_services
from k2chaos.system.lab.docker_api import LabEngine
from k2chaos.system.lab.env_file import ensure_env, publish_ca
from k2chaos.system.lab.images import ensure_images, image_tags, prune_images
from k2chaos.system.lab.leftovers import clear, leftovers
from k2chaos.system.lab.ports import check_ports
from k2chaos.system.lab.progress import say
from k2chaos.system.lab.start import Starting

_GIB: Final = 1 << 30
_SPACE_TO_BUILD: Final = 4 * _GIB
_SPACE_TO_RUN: Final = 1 * _GIB
_LOCK_SECONDS: Final = 1800


def lab_up(console: Console, stack_dir: Path | None = None) -> None:
    """
    Bring the lab up: engine, images, secrets, containers; return when all services are healthy.

    Running it again is always right: what is there is used, what is half there is taken over.

    Args:
        console: Where progress is shown.
        stack_dir: A folder in the clone; the working directory by default.

    Raises:
        UsageError: Something on this host is in the way; nothing was started.
        LabError: It did not come up; carries the log of the service that did not.
    """
    begun = time.monotonic()
    stack = find_stack(stack_dir)
    services = read_services(stack.compose_file)
    bugs = check_bugs(stack)
    with one_at_a_time(console):
        engine = ready_engine(console)
        _check(engine, stack, services)
        ensure_secrets(console, stack)
        tags = ensure_images(console, stack, engine)
        _take_over(console, engine)
        compose = lab_compose(stack, engine, tags)
        Starting(engine, compose, services, console).wait()
        gone = prune_images(engine, tags)
    if gone:
        say(console, f"removed {len(gone)} images that nothing uses any more")
    if bugs:
        say(console, f"with bugs on purpose: {', '.join(bugs)}")
    say(console, f"the lab is up: {len(services)} services healthy, {_since(begun)}")


def ensure_secrets(console: Console, stack: Stack) -> None:
    """
    Make what is missing of the lab's secrets and certificates, and say what was made.

    Raises:
        LabError: They cannot be written; what was there still is.
    """
    try:
        added = ensure_env(stack.env_file)
        publish_ca(stack.env_file, stack.ca_file)
    except OSError as error:
        message = f"the secrets in {stack.folder} cannot be kept: {error}; make room and try again"
        raise LabError(message) from error
    if added:
        say(console, f"{stack.env_file}: made {', '.join(added)}")


def lab_compose(stack: Stack, engine: LabEngine, tags: dict[str, str]) -> Compose:
    """
    Return the Compose command for the lab on *engine*.

    Raises:
        UsageError: This host has none.
    """
    command = find_compose()
    if command is None:
        message = "there is no Docker Compose on this host; `k2chaos lab up` as root installs it"
        raise UsageError(message)
    return Compose(command, stack, environment(stack, tags, engine.address, engine.info().cores))


@contextmanager
def one_at_a_time(console: Console) -> Iterator[None]:
    """
    Let nobody else of this user start or stop the lab while the block runs.

    Raises:
        LabError: Somebody else still does after half an hour.
    """
    folder = platformdirs.user_state_path("k2chaos", ensure_exists=True)
    lock = FileLock(folder / f"{PROJECT}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(console, "another command starts or stops the lab just now; waiting for its end")
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout as error:
            message = f"the lab is still held by another command ({lock.lock_file}); end it first"
            raise LabError(message) from error
    try:
        yield
    finally:
        lock.release()


def _check(engine: LabEngine, stack: Stack, services: tuple[ServiceSpec, ...]) -> None:
    publications = [port for service in services for port in service.ports]
    check_ports(publications, engine.running())
    built = all(engine.has_image(tag) for tag in image_tags(stack).values())
    check_space(
        [engine.info().data_root, stack.folder, platformdirs.user_cache_path("k2chaos")],
        _SPACE_TO_RUN if built else _SPACE_TO_BUILD,
    )


def check_space(folders: list[Path], needed: int) -> None:
    """
    Refuse to begin what would fill a disk.

    Args:
        folders: Whose file systems are looked at; those that are not on this machine are not.
        needed: Free bytes that each has to have.

    Raises:
        UsageError: Names the folder, what is free and what is needed.
    """
    for folder in folders:
        there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
        free = shutil.disk_usage(there).free
        if free < needed:
            message = (
                f"{folder}: {free / _GIB:.1f} GiB free, the lab needs {needed / _GIB:.0f} GiB: "
                "make room (docker image prune, docker volume prune) and run the command again"
            )
            raise UsageError(message)


def _take_over(console: Console, engine: LabEngine) -> None:
    found = leftovers(engine.containers(PROJECT), engine.networks())
    for one in found:
        say(console, f"taking over: {one.container.name} {one.why} ({one.remedy})")
    clear(engine, found)


def _since(begun: float) -> str:
    return f"{time.monotonic() - begun:.1f} s"
