"""What each service uses while something happens, as the kernel counts it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Self

import docker

from tests.e2e.lab import Lab

_MEBI = 1 << 20


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

    def to_json(self) -> dict[str, float]:
        """What is kept of it."""
        return {"cores": round(self.cores, 3), "mebibytes": round(self.memory / _MEBI, 1)}


@dataclass(frozen=True)
class Count:
    """What the engine told at one instant: statistics and facts, by service."""

    at: float
    services: dict[str, tuple[dict[str, Any], dict[str, Any]]]

    @classmethod
    def now(cls, lab: Lab) -> Self:
        """Ask for all services at once."""
        with closing(docker.DockerClient(base_url=lab.runtime.engine)) as client:
            label = f"com.docker.compose.project={lab.pipeline.compose.project}"
            listed = client.api.containers(filters={"label": label})
            names = {one["Labels"]["com.docker.compose.service"]: one["Id"] for one in listed}

            def count(identity: str) -> tuple[dict[str, Any], dict[str, Any]]:
                stats = client.api.stats(identity, stream=False, one_shot=True)
                return stats, client.api.inspect_container(identity)

            with ThreadPoolExecutor(max(1, len(names))) as pool:
                found = zip(names, pool.map(count, names.values()), strict=True)
                return cls(monotonic(), dict(found))

    def until(self, later: "Count") -> dict[str, Usage]:
        """What was used since, by service; a container that is another one now began anew."""
        seconds = later.at - self.at
        usage = {}
        for name, (stats, facts) in later.services.items():
            before = self.services.get(name)
            same = before is not None and before[1]["Id"] == facts["Id"]
            used = _cpu(stats) - (_cpu(before[0]) if before and same else 0.0)
            memory = stats["memory_stats"]
            detail = memory.get("stats", {})
            droppable = detail.get("total_inactive_file", detail.get("inactive_file", 0))
            usage[name] = Usage(
                # A process that was restarted counts from nothing.
                cores=max(0.0, used) / seconds,
                cores_limit=facts["HostConfig"]["NanoCpus"] / 1e9,
                memory=max(0, memory.get("usage", 0) - droppable),
                memory_limit=facts["HostConfig"]["Memory"],
                killed_for_memory=facts["State"]["OOMKilled"],
            )
        return usage


def _cpu(stats: dict[str, Any]) -> float:
    """Seconds of a core since the container started."""
    return float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9


@contextmanager
def used_while(lab: Lab) -> Iterator[dict[str, Usage]]:
    """Fill what is yielded, by service, when the block has ended."""
    usage: dict[str, Usage] = {}
    before = Count.now(lab)
    yield usage
    usage |= before.until(Count.now(lab))
