"""What the state of a container means for a lab that is coming up. Pure: facts in, standing out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from k2chaos.system.lab.compose_file import ServiceSpec
from k2chaos.system.lab.docker_api import LabContainer

# A service may die once or twice of a dependency that restarts at the same time.
TOLERATED_RESTARTS: Final = 6
_GONE: Final = frozenset({"exited", "dead"})


class Standing(StrEnum):
    """How far a service has come."""

    UP = "up"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ServiceStanding:
    """
    One service on its way up.

    Attributes:
        state: Of its container; ``absent`` where there is none.
        why: What it waits for, or what is wrong; empty when it is up.
    """

    service: str
    standing: Standing
    state: str
    health: str
    why: str


def judge(
    services: Iterable[ServiceSpec],
    containers: Iterable[LabContainer],
    restarts_before: Mapping[str, int],
    *,
    compose_ended: bool,
) -> tuple[ServiceStanding, ...]:
    """
    Say of every service how far it has come.

    Args:
        services: As declared.
        containers: As the engine shows them.
        restarts_before: Restarts of each container, by id, before we began.
        compose_ended: Whether nobody will start what does not run now.
    """
    by_service = {container.service: container for container in containers}
    healthy = {name for name, one in by_service.items() if _is_up(one)}
    return tuple(
        _judge_one(
            spec, by_service.get(spec.name), healthy, restarts_before, compose_ended=compose_ended
        )
        for spec in services
    )


def _judge_one(
    spec: ServiceSpec,
    container: LabContainer | None,
    healthy: set[str],
    restarts_before: Mapping[str, int],
    *,
    compose_ended: bool,
) -> ServiceStanding:
    if container is None:
        standing = Standing.FAILED if compose_ended else Standing.WAITING
        return ServiceStanding(spec.name, standing, "absent", "", _waiting_for(spec, healthy))
    restarts = container.restarts - restarts_before.get(container.id, 0)
    if restarts >= TOLERATED_RESTARTS:
        standing, why = Standing.FAILED, f"died {restarts} times, last with {container.exit_code}"
    elif container.state in _GONE:
        standing = Standing.FAILED if compose_ended else Standing.WAITING
        why = f"ended with {container.exit_code}"
        if not compose_ended:
            why = _waiting_for(spec, healthy)
    elif _is_up(container):
        standing, why = Standing.UP, ""
    else:
        standing, why = Standing.WAITING, _not_yet(spec, container, healthy)
    return ServiceStanding(spec.name, standing, container.state, container.health, why)


def _is_up(container: LabContainer) -> bool:
    return container.state == "running" and container.health in {"healthy", ""}


def _waiting_for(spec: ServiceSpec, healthy: set[str]) -> str:
    missing = [need for need in spec.needs if need not in healthy]
    return f"waits for {', '.join(missing)}" if missing else "is about to start"


def _not_yet(spec: ServiceSpec, container: LabContainer, healthy: set[str]) -> str:
    if container.state != "running":
        return (
            f"is {container.state}" if container.state != "created" else _waiting_for(spec, healthy)
        )
    said = f": {container.health_said[:120]}" if container.health_said else ""
    return f"is {container.health}{said}"
