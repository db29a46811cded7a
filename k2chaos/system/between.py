"""Holding a fault between two roles: the one whose container is touched, and its peers."""

from collections.abc import Callable
from typing import Any

from k2chaos.errors import ContainerNotFound, UsageError
from k2chaos.system.faults import Fault
from k2chaos.system.faults.network.names import ANSWERS
from k2chaos.system.faults.network.partition import DIRECTIONS
from k2chaos.system.holding import Wish, hold_for
from k2chaos.system.run import Run
from k2chaos.system.runtime import Container, allowed_services


def hold_between(
    run: Run,
    kind: Callable[..., Fault],
    wish: Wish,
    to: str,
    *,
    service: str = "",
    to_service: str = "",
    **parameters: Any,
) -> dict[str, Any]:
    """
    Hold a fault between the one container of the wish's role and all of the role *to*.

    Returns:
        As `hold_for`.

    Raises:
        UsageError: It is the same role on both ends, one that is not known, or one of which
            ``limits.never`` forbids a service: a watcher would be placed there, and its
            connections disturbed.
        ContainerNotFound: Nothing of the role *to* is on the engine.
    """
    if to == wish.role:
        message = f"the role on both ends is {to}; a fault of the network needs two"
        raise UsageError(message)
    with run.noting_unsupported():
        services = allowed_services(run.pipeline, to, to_service or None)

    def made(target: Container, **given: Any) -> Fault:
        return kind(target, _peers(run, to, services), **given)

    return hold_for(run, made, wish, service=service, **parameters)


def hold_apart(
    run: Run, kind: Callable[..., Fault], wish: Wish, *, service: str = ""
) -> dict[str, Any]:
    """
    Hold a fault between the container of the wish's role and all of the pipeline that it can reach,
    but for what ``limits.never`` forbids to touch.

    Returns:
        As `hold_for`.
    """

    def made(target: Container) -> Fault:
        networks = {*run.runtime.addresses(target)}
        services = {*run.pipeline.all_services} - {*run.pipeline.limits.never}
        others = (
            one
            for one in run.runtime.containers(target.project)
            if one != target and one.service in services
        )
        return kind(
            target,
            tuple(
                one
                for one in others
                if run.runtime.state(one).is_running and networks & {*run.runtime.addresses(one)}
            ),
        )

    return hold_for(run, made, wish, service=service)


def refuse_bad_direction(direction: Any) -> None:
    """
    Check which way packets are dropped.

    Raises:
        UsageError: It is no direction.
    """
    if direction not in DIRECTIONS:
        message = f"direction must be one of {', '.join(DIRECTIONS)}, not {direction!r}"
        raise UsageError(message)


def refuse_bad_answer(answer: Any) -> None:
    """
    Check what becomes of a question for a name.

    Raises:
        UsageError: It is neither.
    """
    if answer not in ANSWERS:
        message = f"answer must be one of {', '.join(ANSWERS)}, not {answer!r}"
        raise UsageError(message)


def _peers(run: Run, to: str, services: tuple[str, ...]) -> tuple[Container, ...]:
    project = run.pipeline.compose.project
    found = tuple(one for one in run.runtime.containers(project) if one.service in services)
    if not found:
        message = f"no container answers to role {to} ({', '.join(services)}) in project {project}"
        raise ContainerNotFound(message)
    return found
