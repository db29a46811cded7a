"""
What the lab asks of the container engine; beside `k2chaos.system.engine` the only importer of
the docker SDK.

Its objects do not leave this module and its exceptions are translated here. Nothing here decides
anything: who builds what, and what a container's state means, is said elsewhere in this package.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import RequestException

from k2chaos.errors import EngineUnreachable, LabError
from k2chaos.system.lab.bugs import bugs_of
from k2chaos.system.lab.process import plain

_PROJECT: Final = "com.docker.compose.project"
_SERVICE: Final = "com.docker.compose.service"
_NUMBER: Final = "com.docker.compose.container-number"
_TIMEOUT_SECONDS: Final = 60.0
# A step of a build may be silent for long: a big download behind a slow line.
_BUILD_SECONDS: Final = 3600
_TAIL_LINES: Final = 25


@dataclass(frozen=True, slots=True)
class LabContainer:
    """
    One container of a Compose project, as the engine sees it.

    Attributes:
        service: Its Compose service.
        number: Its replica number.
        state: ``running``, ``paused``, ``restarting``, ``exited``, ``created``, ``dead`` ...
        health: ``healthy``, ``unhealthy``, ``starting``, or empty where there is no check.
        health_said: What the newest health check printed.
        since: When it reached this state (ISO 8601), empty if never.
        ports: What is published, as ``127.0.0.1:8081->8080``.
        restarts: How often the restart policy has started it again.
        exit_code: Of its main process, as last seen.
        networks: Ids of the networks it belongs to.
        bugs: Those of the lab that it was started with.
    """

    id: str
    name: str
    project: str
    service: str
    number: int
    image: str
    state: str
    health: str
    health_said: str
    since: str
    ports: tuple[str, ...]
    restarts: int
    exit_code: int
    networks: tuple[str, ...]
    bugs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What the engine says of itself: where its data lie, how many cores, its version."""

    data_root: Path
    cores: int
    version: str


@dataclass(frozen=True, slots=True)
class LabEngine:
    """The container engine at one address."""

    address: str
    _client: Any = field(repr=False)

    def info(self) -> EngineInfo:
        """What the engine says of itself."""
        with _translated("ask the engine about itself"):
            said = self._client.info()
        return EngineInfo(Path(said["DockerRootDir"]), int(said["NCPU"]), said["ServerVersion"])

    # Images

    def has_image(self, tag: str) -> bool:
        """Whether the engine has an image of that name."""
        with _translated(f"look for image {tag}"):
            try:
                self._client.api.inspect_image(tag)
            except ImageNotFound:
                return False
        return True

    def pull(self, repository: str, tag: str) -> Iterator[str]:
        """Pull an image; yields what the registry says meanwhile."""
        with _translated(f"pull {repository}:{tag}"):
            for event in self._client.api.pull(repository, tag, stream=True, decode=True):
                if "error" in event:
                    message = f"pull {repository}:{tag}: {event['error']}"
                    raise LabError(message)
                yield str(event.get("status", ""))

    def import_image(self, tarball: Path, repository: str, tag: str) -> None:
        """Make an image from the tar of a root file system."""
        with _translated(f"import {repository}:{tag}"):
            self._client.api.import_image_from_file(str(tarball), repository=repository, tag=tag)

    def build(
        self, context: IO[bytes], tag: str, arguments: Mapping[str, str], network: str | None
    ) -> Iterator[str]:
        """
        Build one image from a tar of its context; yields the lines of the build's log.

        Raises:
            LabError: A step failed; carries the log's last lines.
        """
        tail: list[str] = []
        with _translated(f"build {tag}"):
            events = self._client.api.build(
                fileobj=context, custom_context=True, tag=tag, buildargs=dict(arguments),
                network_mode=network, rm=True, forcerm=True, decode=True, timeout=_BUILD_SECONDS,
            )  # fmt: skip
            for event in events:
                for line in plain(str(event.get("stream", ""))).splitlines():
                    if line.strip():
                        tail = [*tail[1 - _TAIL_LINES :], line]
                        yield line.strip()
                if "error" in event:
                    raise LabError("\n".join([f"build {tag}: {event['error']}", *tail]))

    def tags(self, prefix: str) -> tuple[str, ...]:
        """All image tags that begin with *prefix*."""
        with _translated("list images"):
            listed = self._client.api.images()
        return tuple(
            sorted(t for one in listed for t in one["RepoTags"] or () if t.startswith(prefix))
        )

    def used_images(self) -> frozenset[str]:
        """Names of the images that any container, running or not, was made from."""
        with _translated("list containers"):
            return frozenset(one["Image"] for one in self._client.api.containers(all=True))

    def remove_image(self, tag: str) -> bool:
        """Remove one tag; whether the engine agreed (it does not while a container uses it)."""
        try:
            self._client.api.remove_image(tag, force=False)
        except (APIError, RequestException):
            return False
        return True

    def prune_stages(self, label: str) -> None:
        """Remove untagged images that carry *label*: stages which only a build needed."""
        with contextlib.suppress(APIError, RequestException):
            self._client.api.prune_images(filters={"dangling": True, "label": [label]})

    # Containers

    def containers(self, project: str) -> tuple[LabContainer, ...]:
        """Every container of a Compose project, sorted by service and number."""
        return self._containers({"label": [f"{_PROJECT}={project}"]})

    def running(self) -> tuple[LabContainer, ...]:
        """Every container that holds its ports, whosever it is; a frozen one does."""
        return self._containers({"status": ["running", "paused", "restarting"]})

    def networks(self) -> frozenset[str]:
        """Ids of the engine's networks."""
        with _translated("list networks"):
            return frozenset(network["Id"] for network in self._client.api.networks())

    def remove(self, container: LabContainer) -> None:
        """Remove a container, running or not, with its nameless volumes; the named ones stay."""
        with _translated(f"remove {container.name}"), contextlib.suppress(NotFound):
            self._client.api.remove_container(container.id, v=True, force=True)

    def unpause(self, container: LabContainer) -> None:
        """Thaw a paused container."""
        with _translated(f"unpause {container.name}"), contextlib.suppress(NotFound):
            self._client.api.unpause(container.id)

    def log_tail(self, container: LabContainer, lines: int) -> str:
        """Return the newest lines of a container's log."""
        try:
            raw = self._client.api.logs(container.id, tail=lines, timestamps=False)
        except (APIError, RequestException) as error:
            return f"(its log cannot be read: {error})"
        return str(raw.decode("utf-8", "replace")).rstrip()

    def memory(self, containers: Iterable[LabContainer]) -> dict[str, int]:
        """Bytes in use by each running container, page cache that can be dropped left out."""
        running = [one.id for one in containers if one.state == "running"]
        with ThreadPoolExecutor(max_workers=8) as pool:
            return dict(zip(running, pool.map(self._memory_of, running), strict=True))

    def _memory_of(self, container_id: str) -> int:
        try:
            said = self._client.api.stats(container_id, stream=False, one_shot=True)
        except (APIError, RequestException):
            return 0
        memory = said.get("memory_stats", {})
        detail = memory.get("stats", {})
        droppable = detail.get("total_inactive_file", detail.get("inactive_file", 0))
        return max(0, int(memory.get("usage", 0)) - int(droppable))

    def _containers(self, filters: Mapping[str, list[str]]) -> tuple[LabContainer, ...]:
        with _translated("list containers"):
            listed = self._client.api.containers(all=True, filters=dict(filters))
            found = []
            for entry in listed:
                # Gone between the two questions is as good as never listed.
                with contextlib.suppress(NotFound):
                    found.append(_container(self._client.api.inspect_container(entry["Id"])))
        return tuple(sorted(found, key=lambda one: (one.service, one.number, one.name)))


def connect(address: str) -> LabEngine:
    """
    Connect to the engine at *address*.

    Raises:
        EngineUnreachable: Nothing answers there, or we may not ask.
    """
    try:
        client = docker.DockerClient(base_url=address, version="auto", timeout=_TIMEOUT_SECONDS)
        client.ping()
    except (DockerException, RequestException) as error:
        raise EngineUnreachable(str(error)) from error
    return LabEngine(address, client)


@contextlib.contextmanager
def _translated(tried: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        message = f"{tried}: {error.explanation or error}"
        raise LabError(message) from error
    except (DockerException, RequestException) as error:
        message = f"{tried}: the engine broke off ({error}); is it still running?"
        raise LabError(message) from error


def _container(said: Mapping[str, Any]) -> LabContainer:
    labels = said["Config"].get("Labels") or {}
    state = said["State"]
    health = state.get("Health") or {}
    log = health.get("Log") or [{}]
    up = state["Status"] in {"running", "paused"}
    since = state.get("StartedAt" if up else "FinishedAt", "")
    networks = said["NetworkSettings"].get("Networks") or {}
    return LabContainer(
        id=said["Id"],
        name=said["Name"].lstrip("/"),
        project=labels.get(_PROJECT, ""),
        service=labels.get(_SERVICE, ""),
        number=int(labels.get(_NUMBER, "1")),
        image=said["Config"]["Image"],
        state=state["Status"],
        health=health.get("Status", "") if health.get("Status") != "none" else "",
        health_said=" ".join((log[-1].get("Output") or "").split()),
        since="" if since.startswith("0001") else since,
        ports=_published(said["HostConfig"].get("PortBindings") or {}),
        restarts=int(said.get("RestartCount", 0)),
        exit_code=int(state.get("ExitCode", 0)),
        networks=tuple(filter(None, (one.get("NetworkID") for one in networks.values()))),
        bugs=bugs_of(said["Config"].get("Env") or ()),
    )


def _published(bindings: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        sorted(
            f"{one.get('HostIp') or '0.0.0.0'}:{one.get('HostPort')}->{inside.split('/')[0]}"  # noqa: S104
            for inside, outside in bindings.items()
            for one in outside or ()
        )
    )
