"""Tiny containers of our own, labelled as Compose would label them."""

import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.contract.waiting import wait_until

IMAGE = "debian:trixie-slim"
_IDLE = r"""trap 'exit 0' TERM
kept=x; while [ ${#kept} -lt 16000000 ]; do kept=$kept$kept; done
echo ready
while :; do sleep 0.01; done"""
"""It holds on to some memory, so that there is something to squeeze."""


def throwaway_project() -> str:
    """Name a Compose project that nobody else has; what a kill leaves of it, `.ci/run` removes."""
    return f"k2chaos-test-{uuid.uuid4().hex[:8]}"


def start_container(  # noqa: PLR0913 - each has a default
    engine: str,
    project: str,
    service: str = "kafka",
    *,
    one_off: bool = False,
    number: str = "1",
    limits: tuple[str, ...] = (),
    script: str = "",
    network: str = "none",
) -> str:
    """Start one that does next to nothing and stops at once when asked to; return its id."""
    labels = {
        "com.docker.compose.project": project,
        "com.docker.compose.service": service,
        "com.docker.compose.container-number": number,
        "com.docker.compose.oneoff": str(one_off),
    }
    options = [part for key, value in labels.items() for part in ("--label", f"{key}={value}")]
    command = ["sh", "-c", script or _IDLE]
    run = ("run", "--detach", "--restart", "unless-stopped", "--network", network)
    started = docker(engine, *run, *limits, *options, IMAGE, *command).strip()
    if not script:  # whoever squeezes its memory asks first how much it uses
        wait_until(lambda: docker(engine, "logs", started), f"{service} holds its memory")
    return started


@contextmanager
def containers(
    engine: str, project: str, services: Sequence[str], network: str = "none"
) -> Iterator[list[str]]:
    """One of each of the *services*, for a block; their ids."""
    started: list[str] = []
    try:
        started.extend(  # one by one: those that started are removed when the next does not
            start_container(engine, project, service, network=network) for service in services
        )
        yield started
    finally:
        if started:
            docker(engine, "rm", "--force", *started)


@contextmanager
def network(engine: str, name: str) -> Iterator[str]:
    """A network for a block, in which the engine answers for names (as in its own it does not)."""
    docker(engine, "network", "create", name)
    try:
        yield name
    finally:
        docker(engine, "network", "rm", name)


def docker(engine: str, *arguments: str) -> str:
    """Run the docker CLI against *engine* and return what it printed."""
    command = ["docker", "--host", engine, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
