"""What each service uses while something happens, as the kernel counts it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import docker

from tests.e2e.lab import Lab


@dataclass(frozen=True)
class Usage:
    """
    What one service used.

    Attributes:
        cores: On average over the time.
        memory: At the end, in bytes, without what the kernel could drop at once.
        killed_for_memory: Whether the kernel killed a process of it meanwhile.
    """

    cores: float
    cores_limit: float
    memory: int
    memory_limit: int
    killed_for_memory: bool


@contextmanager
def used_while(lab: Lab) -> Iterator[dict[str, Usage]]:
    """Fill what is yielded, by service, when the block has ended."""
    usage: dict[str, Usage] = {}
    with closing(docker.DockerClient(base_url=lab.runtime.engine)) as client:
        before, began = _counted(lab, client), lab.clock.monotonic()
        yield usage
        after, seconds = _counted(lab, client), lab.clock.monotonic() - began
    for name, (stats, facts) in after.items():
        cpu = stats["cpu_stats"]["cpu_usage"]["total_usage"]
        memory = stats["memory_stats"]
        detail = memory["stats"]
        droppable = detail.get("total_inactive_file", detail.get("inactive_file", 0))
        usage[name] = Usage(
            cores=(cpu - before[name][0]["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9 / seconds,
            cores_limit=facts["HostConfig"]["NanoCpus"] / 1e9,
            memory=memory["usage"] - droppable,
            memory_limit=facts["HostConfig"]["Memory"],
            killed_for_memory=facts["State"]["OOMKilled"],
        )


def _counted(
    lab: Lab, client: docker.DockerClient
) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    label = f"com.docker.compose.project={lab.pipeline.compose.project}"
    listed = client.api.containers(filters={"label": label})
    names = {one["Labels"]["com.docker.compose.service"]: one["Id"] for one in listed}

    def count(identity: str) -> tuple[dict[str, Any], dict[str, Any]]:
        stats = client.api.stats(identity, stream=False, one_shot=True)
        return stats, client.api.inspect_container(identity)

    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(count, names.values()), strict=True))
