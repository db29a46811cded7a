"""
Runtime over Docker Engine's API.

The only importer of the docker SDK besides the lab's. Its objects do not leave this module, and
its exceptions are translated here, once. Which engine: ``DOCKER_HOST``, else the current context
of the docker CLI (the SDK ignores contexts), else the default socket, else a rootless one.
"""

import contextlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any, Final

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import RequestException

from k2chaos.errors import (
    AmbiguousTarget,
    ContainerNotFound,
    EngineUnreachable,
    FaultError,
    TargetNotReady,
)
from k2chaos.system.runtime import (
    Container,
    ContainerState,
    CpuLimit,
    CpuUse,
    HelperCall,
    Verb,
)

DEFAULT_SOCKET: Final = "unix:///var/run/docker.sock"
_TIMEOUT_SECONDS: Final = 30.0
_PROJECT: Final = "com.docker.compose.project"
_SERVICE: Final = "com.docker.compose.service"
_NUMBER: Final = "com.docker.compose.container-number"
_ONE_OFF: Final = "com.docker.compose.oneoff"


def engine_address(environ: Mapping[str, str] = os.environ) -> str:
    """The engine that the docker CLI would use, as a URL."""
    if environ.get("DOCKER_HOST"):
        return environ["DOCKER_HOST"]
    config = Path(environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
    name = environ.get("DOCKER_CONTEXT") or _json(config / "config.json").get("currentContext")
    if not name or name == "default":
        return _rootless_socket(environ) or DEFAULT_SOCKET
    meta = config / "contexts" / "meta" / sha256(name.encode()).hexdigest() / "meta.json"
    return str(_json(meta).get("Endpoints", {}).get("docker", {}).get("Host", DEFAULT_SOCKET))


def _rootless_socket(environ: Mapping[str, str]) -> str:
    """A rootless engine's socket, where it is the only one; its installer may set no context."""
    socket = Path(environ.get("XDG_RUNTIME_DIR", "")) / "docker.sock"
    is_alone = not Path(DEFAULT_SOCKET.removeprefix("unix://")).exists()
    return f"unix://{socket}" if is_alone and socket.is_absolute() and socket.exists() else ""


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def connect(address: str | None = None) -> "DockerRuntime":
    """
    Connect to the engine at *address*, by default the one of `engine_address`.

    Raises:
        EngineUnreachable: Nothing answers there, or we may not ask.
    """
    address = address or engine_address()
    try:
        client = docker.DockerClient(base_url=address, version="auto", timeout=_TIMEOUT_SECONDS)
        client.ping()
    except (DockerException, RequestException) as error:
        denied = "ermission denied" in str(error)
        advice = (
            "your user may not use it (add it to the engine's group, or use sudo)"
            if denied
            else "start it, or point DOCKER_HOST at another (in a clone, `make setup` does it)"
        )
        message = f"no container engine answers at {address}: {advice}"
        raise EngineUnreachable(message) from error
    return DockerRuntime(address, client)


@dataclass(frozen=True, slots=True)
class DockerRuntime:
    """Docker Engine, API 1.41 or later."""

    engine: str
    _client: Any = field(repr=False)

    def containers(self, project: str) -> tuple[Container, ...]:
        """See `Runtime`. Containers of ``compose run`` are not part of the pipeline."""
        with _translated(f"list containers of project {project}"):
            listed = self._listed(f"{_PROJECT}={project}")
        found = (
            Container(
                self.engine, project, entry["Labels"].get(_SERVICE, ""), _number(entry["Labels"])
            )
            for entry in listed
        )
        return tuple(sorted(found, key=lambda one: (one.service, one.number)))

    def state(self, container: Container) -> ContainerState:
        """See `Runtime`."""
        try:
            with _translated(f"inspect {container}"):
                entry = self._client.api.inspect_container(self._id(container))
        except ContainerNotFound:
            return ContainerState("missing")
        state = entry["State"]
        return ContainerState(
            status=state["Status"],
            container_id=entry["Id"],
            pid=state["Pid"],
            health=state.get("Health", {}).get("Status", "none"),
            started_at=_time(state["StartedAt"]),
            restart_count=entry["RestartCount"],
            restart_policy=entry["HostConfig"]["RestartPolicy"]["Name"] or "no",
            exit_code=state["ExitCode"],
            image=entry["Config"]["Image"],
        )

    def send(self, container: Container, verb: Verb, grace_seconds: float = 10.0) -> None:
        """See `Runtime`."""
        with _translated(f"{verb} {container}"):
            identifier = self._id(container)
            if verb in {"stop", "restart"}:
                # The SDK adds its own request timeout to the grace period.
                getattr(self._client.api, verb)(identifier, timeout=round(grace_seconds))
            else:
                getattr(self._client.api, verb)(identifier)

    def cpu(self, container: Container) -> CpuUse:
        """See `Runtime`. The count is the kernel's, as the engine reads it from the cgroup."""
        with _translated(f"read the CPU limit of {container}"):
            identifier = self._id(container)
            host = self._client.api.inspect_container(identifier)["HostConfig"]
            stats = self._client.api.stats(identifier, stream=False, one_shot=True)
        limit = CpuLimit(host["NanoCpus"], host["CpuQuota"], host["CpuPeriod"])
        throttling = stats.get("cpu_stats", {}).get("throttling_data", {})
        return CpuUse(limit, int(throttling.get("throttled_periods", 0)))

    def limit_cpu(self, container: Container, limit: CpuLimit) -> None:
        """See `Runtime`."""
        body = {"NanoCpus": limit.nano_cpus}
        if not limit.nano_cpus:
            body = {"CpuQuota": limit.quota_us or -1, "CpuPeriod": limit.period_us}
        with _translated(f"limit the CPU of {container}"):
            api = self._client.api
            # The SDK's own update knows no NanoCpus.
            url = api._url("/containers/{0}/update", self._id(container))  # noqa: SLF001
            api._raise_for_status(api._post_json(url, data=body))  # noqa: SLF001

    def run_helper(self, call: HelperCall) -> str:
        """See `Runtime`. Builds the helper image on first need."""
        with _translated(f"run helper {' '.join(call.command)}"):
            output = self._client.containers.run(
                self._helper_image(),
                list(call.command),
                remove=True,
                network_mode=call.network_mode,
                pid_mode=call.pid_mode or None,
                cap_drop=["ALL"],
                cap_add=list(call.capabilities),
                labels={"k2chaos.helper": "true", **call.labels},
            )
        return str(output.decode(errors="replace"))

    def disk_used_ratio(self) -> float:
        """Share of the engine's data root that is used; needs the engine on this host."""
        with _translated("ask the engine for its data root"):
            root = self._client.info()["DockerRootDir"]
        usage = os.statvfs(root)
        return 1.0 - usage.f_bavail / usage.f_blocks

    def facts(self) -> dict[str, str]:
        """What kind of engine it is, in words for people."""
        with _translated("ask the engine what it is"):
            info = self._client.info()
        options = " ".join(info.get("SecurityOptions") or ())
        return {
            "version": str(info.get("ServerVersion", "unknown")),
            "cgroup": f"v{info.get('CgroupVersion', '?')}",
            "kernel": str(info.get("KernelVersion", "unknown")),
            "rootless": "yes" if "rootless" in options else "no",
        }

    def version(self) -> str:
        """The engine's version."""
        with _translated("ask the engine for its version"):
            return str(self._client.version()["Version"])

    def _id(self, container: Container) -> str:
        listed = self._listed(
            f"{_PROJECT}={container.project}",
            f"{_SERVICE}={container.service}",
            f"{_NUMBER}={container.number}",
        )
        if not listed:
            message = f"no container answers to {container} in project {container.project}"
            raise ContainerNotFound(message)
        if len(listed) > 1:
            names = ", ".join(name for entry in listed for name in entry["Names"])
            message = f"several containers call themselves {container}: {names}; remove the others"
            raise AmbiguousTarget(message)
        return str(listed[0]["Id"])

    def _listed(self, *labels: str) -> list[dict[str, Any]]:
        """All containers with *labels*, without those of ``compose run``."""
        listed = self._client.api.containers(all=True, filters={"label": list(labels)})
        return [one for one in listed if one["Labels"].get(_ONE_OFF, "False").lower() != "true"]

    def _helper_image(self) -> str:
        """Build the helper image of this version unless the engine has it; return its tag."""
        files = sorted(
            (entry.name, entry.read_bytes())
            for entry in resources.files("k2chaos.system").joinpath("helper").iterdir()
            if entry.is_file()
        )
        digest = sha256(b"\0".join(name.encode() + b"\0" + body for name, body in files))
        tag = f"k2chaos/helper:{digest.hexdigest()[:12]}"
        with contextlib.suppress(ImageNotFound):
            self._client.images.get(tag)
            return tag
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            for name, body in files:
                entry = tarfile.TarInfo(name)
                entry.size = len(body)
                archive.addfile(entry, io.BytesIO(body))
        context.seek(0)
        self._client.images.build(fileobj=context, custom_context=True, tag=tag, rm=True)
        return tag


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn the SDK's exceptions into ours, saying *what* was tried."""
    try:
        yield
    except NotFound as error:
        message = f"tried to {what}: the engine does not know it ({error.explanation})"
        raise ContainerNotFound(message) from error
    except APIError as error:
        message = f"tried to {what}: the engine refused: {error.explanation or error}"
        raise TargetNotReady(message) from error
    except (RequestException, OSError) as error:
        message = f"tried to {what}: the engine did not answer ({type(error).__name__})"
        raise EngineUnreachable(message) from error
    except DockerException as error:
        message = f"tried to {what}: {error}"
        raise FaultError(message) from error


def _number(labels: Mapping[str, str]) -> int:
    """Compose's replica number; 0, which no target has, where the label is not one."""
    text = labels.get(_NUMBER, "1")
    return int(text) if text.isdecimal() else 0


def _time(text: str) -> datetime | None:
    """The engine's RFC 3339 with nanoseconds; year 1 means never."""
    if text.startswith("0001"):
        return None
    trimmed = re.sub(r"(\.\d{6})\d+", r"\1", text).replace("Z", "+00:00")
    return datetime.fromisoformat(trimmed).astimezone(UTC)
