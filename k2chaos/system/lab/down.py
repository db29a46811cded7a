"""``k2chaos lab down``, ``status`` and ``logs``: the lab that is there, stopped or looked at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from k2chaos.errors import EngineUnreachable, LabError, UsageError
from k2chaos.system.engine.address import engine_address
from k2chaos.system.lab.clone import PROJECT, Stack, find_stack
from k2chaos.system.lab.compose_file import read_services
from k2chaos.system.lab.docker_api import LabContainer, LabEngine, connect
from k2chaos.system.lab.images import image_tags
from k2chaos.system.lab.progress import say, tasks
from k2chaos.system.lab.up import lab_compose, one_at_a_time

_STOP_SECONDS: Final = "30"


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """
    One service of the lab, as it is now.

    Attributes:
        state: Of its container; ``absent`` where there is none.
        health: ``healthy``, ``unhealthy``, ``starting``, or empty.
        image: What it was made from, with its tag.
        current: Whether that is what the clone's files stand for.
        since: When it reached this state (ISO 8601); empty if never.
        ports: What it publishes.
        restarts: How often its restart policy has started it again.
        memory_bytes: In use; 0 where it does not run or was not asked for.
        bugs: Those that the lab was given on purpose.
    """

    service: str
    state: str
    health: str
    image: str
    current: bool
    since: str
    ports: tuple[str, ...]
    restarts: int
    memory_bytes: int
    bugs: tuple[str, ...] = ()


def lab_down(console: Console, stack_dir: Path | None = None, *, volumes: bool = False) -> None:
    """
    Stop the lab and remove its containers and network.

    Args:
        console: Where it is said what was done.
        stack_dir: A folder in the clone; the working directory by default.
        volumes: Remove its data too.

    Raises:
        LabError: Something of it could not be removed.
    """
    stack = find_stack(stack_dir)
    engine = running_engine()
    with one_at_a_time(console), tasks(console) as shown:
        compose = lab_compose(stack, engine, image_tags(stack))
        task = shown.task("lab down")
        extra = ("--volumes",) if volumes else ()
        arguments = ("down", "--remove-orphans", "--timeout", _STOP_SECONDS, *extra)
        try:
            compose.run(task.say, *arguments)
        except LabError:
            # Compose stumbles over containers of another version of itself.
            for container in engine.containers(PROJECT):
                engine.remove(container)
            compose.run(task.say, *arguments)
        task.done("its data are removed" if volumes else "its data are kept")


def lab_status(stack_dir: Path | None = None, *, memory: bool = False) -> list[ServiceStatus]:
    """
    Say of every service of the lab how it is; nothing is changed.

    Args:
        stack_dir: A folder in the clone; the working directory by default.
        memory: Ask for memory too, which takes a second or two.

    Raises:
        EngineUnreachable: No engine answers.
    """
    stack = find_stack(stack_dir)
    engine = running_engine()
    tags = frozenset(image_tags(stack).values())
    containers = {one.service: one for one in engine.containers(PROJECT)}
    used = engine.memory(containers.values()) if memory else {}
    declared = [spec.name for spec in read_services(stack.compose_file)]
    names = [*declared, *sorted(set(containers) - set(declared))]
    return [_status(name, containers.get(name), tags, used) for name in names]


def _status(
    name: str, container: LabContainer | None, tags: frozenset[str], used: dict[str, int]
) -> ServiceStatus:
    if container is None:
        return ServiceStatus(name, "absent", "", "", False, "", (), 0, 0)  # noqa: FBT003
    return ServiceStatus(
        service=name,
        state=container.state,
        health=container.health,
        image=container.image,
        current=container.image in tags,
        since=container.since,
        ports=container.ports,
        restarts=container.restarts,
        memory_bytes=used.get(container.id, 0),
        bugs=container.bugs,
    )


def lab_logs(
    service: str | None = None,
    stack_dir: Path | None = None,
    *,
    follow: bool = False,
    tail: int = 100,
) -> int:
    """
    Print the newest lines of the lab's logs on standard output; return Compose's exit code.

    Args:
        service: One service, or all.
        stack_dir: A folder in the clone; the working directory by default.
        follow: Go on printing until interrupted.
        tail: How many lines of each service.

    Raises:
        UsageError: There is no such service.
        EngineUnreachable: No engine answers.
    """
    stack = find_stack(stack_dir)
    _known(stack, service)
    engine = running_engine()
    compose = lab_compose(stack, engine, image_tags(stack))
    options = ["--no-color", f"--tail={tail}", *(["--follow"] if follow else [])]
    console = Console()
    return compose.stream(
        lambda line: say(console, line), "logs", *options, *([service] if service else [])
    )


def _known(stack: Stack, service: str | None) -> None:
    names = [spec.name for spec in read_services(stack.compose_file)]
    if service is not None and service not in names:
        message = f"the lab has no service {service!r}; it has {', '.join(names)}"
        raise UsageError(message)


def running_engine() -> LabEngine:
    """
    Return the engine that answers; start none.

    Raises:
        EngineUnreachable: None does.
    """
    address = engine_address()
    try:
        return connect(address)
    except EngineUnreachable as error:
        message = f"no container engine answers at {address} ({error}); `k2chaos lab up` starts one"
        raise EngineUnreachable(message) from error
