"""Services in one network, and looking into their network namespaces from the engine's host."""

import subprocess
from collections.abc import Callable, Iterator

import pytest

from k2chaos.system.engine import DockerRuntime
from k2chaos.system.runtime import Container
from tests.contract.containers import docker, network, start_container, throwaway_project

Starter = Callable[[str], Container]


@pytest.fixture
def start(engine: DockerRuntime) -> Iterator[Starter]:
    """Starts services of one project in one network, which are removed at the end."""
    project = throwaway_project()
    names: list[str] = []

    def one(service: str) -> Container:
        script = "trap 'exit 0' TERM; sleep 1000 & wait"
        names.append(
            start_container(engine.engine, project, service, network=project, script=script)
        )
        return Container(engine.engine, project, service)

    with network(engine.engine, project):
        try:
            yield one
        finally:
            docker(engine.engine, "rm", "--force", *names)


def inside(
    engine: DockerRuntime, container: Container, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run *words* in the network namespace of *container*."""
    command = ("nsenter", "--target", str(engine.state(container).pid), "--net", *words)
    return subprocess.run(command, check=False, capture_output=True, text=True)


def rules_of(engine: DockerRuntime, container: Container) -> list[str]:
    """The rules of all faults there."""
    listed = inside(engine, container, "iptables-save").stdout.splitlines()
    return [line for line in listed if "K2C" in line]


def address_of(engine: DockerRuntime, container: Container) -> str:
    """Its only one."""
    (address,) = engine.addresses(container).values()
    return address
