"""Containers as values, with only what a test is about to be said."""

from k2chaos.system.lab.docker_api import LabContainer


def container(  # noqa: PLR0913 - every one has a default
    service: str,
    *,
    project: str = "k2-lab",
    name: str = "",
    state: str = "running",
    health: str = "healthy",
    restarts: int = 0,
    networks: tuple[str, ...] = ("net",),
) -> LabContainer:
    """Return a container that runs and is healthy, unless told otherwise."""
    return LabContainer(
        id=f"id-{service}",
        name=name or f"{project}-{service}-1",
        project=project,
        service=service,
        number=1,
        image="k2-lab/thing:1",
        state=state,
        health=health,
        health_said="",
        since="",
        ports=(),
        restarts=restarts,
        exit_code=137 if state == "exited" else 0,
        networks=networks,
    )
