"""Holding a fault between two roles: the one whose container is touched, and its peers."""

from collections.abc import Callable
from typing import Any

from k2chaos.errors import UsageError
from k2chaos.system.faults import Fault
from k2chaos.system.holding import Wish, hold_for
from k2chaos.system.run import Run
from k2chaos.system.runtime import Container, all_of


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
        peers = all_of(run.runtime, run.pipeline, to, to_service or None)

    def made(target: Container, **given: Any) -> Fault:
        return kind(target, peers, **given)

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
