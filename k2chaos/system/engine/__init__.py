"""
Runtime over Docker Engine's API.

The only importer of the docker SDK besides the lab's. Its objects do not leave this package, and
its exceptions are translated in `translated`, once.
"""

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from k2chaos.errors import AmbiguousTarget, ContainerNotFound
from k2chaos.system.engine import helping, marking
from k2chaos.system.engine.able import BY_HELPER, said, tried
from k2chaos.system.engine.address import engine_address
from k2chaos.system.engine.labels import NUMBER, PROJECT, SERVICE, is_one_off, replica
from k2chaos.system.engine.limiting import limits_of, update_of, use_of
from k2chaos.system.engine.reaching import client_of, moment_of
from k2chaos.system.engine.translated import translated
from k2chaos.system.engine_lock import LOCK, Mark
from k2chaos.system.limits import Limit, Limits, Use
from k2chaos.system.runtime import (
    Container,
    ContainerState,
    HelperCall,
    Process,
    Verb,
)

_TIMEOUT_SECONDS: Final = 30.0


def connect(address: str | None = None) -> "DockerRuntime":
    """
    Connect to the engine at *address*, by default the one of `engine_address`.

    Raises:
        EngineUnreachable: Nothing answers there, or we may not ask.
    """
    address = address or engine_address()
    return DockerRuntime(address, client_of(address, _TIMEOUT_SECONDS))


@dataclass(frozen=True, slots=True)
class DockerRuntime:
    """Docker Engine, API 1.41 or later."""

    engine: str
    _client: Any = field(repr=False)

    def containers(self, project: str) -> tuple[Container, ...]:
        """See `Runtime`. Containers of ``compose run`` are not part of the pipeline."""
        with translated(f"list containers of project {project}"):
            listed = self._listed(f"{PROJECT}={project}")
        found = (
            Container(
                self.engine, project, entry["Labels"].get(SERVICE, ""), replica(entry["Labels"])
            )
            for entry in listed
        )
        return tuple(sorted(found, key=lambda one: (one.service, one.number)))

    def state(self, container: Container) -> ContainerState:
        """See `Runtime`."""
        try:
            with translated(f"inspect {container}"):
                entry = self._client.api.inspect_container(self._id(container))
        except ContainerNotFound:
            return ContainerState("missing")
        state = entry["State"]
        return ContainerState(
            status=state["Status"],
            container_id=entry["Id"],
            pid=state["Pid"],
            health=state.get("Health", {}).get("Status", "none"),
            started_at=moment_of(state["StartedAt"]),
            restart_count=entry["RestartCount"],
            restart_policy=entry["HostConfig"]["RestartPolicy"]["Name"] or "no",
            exit_code=state["ExitCode"],
            image=entry["Config"]["Image"],
        )

    def send(self, container: Container, verb: Verb, grace_seconds: float = 10.0) -> None:
        """See `Runtime`."""
        with translated(f"{verb} {container}"):
            identifier = self._id(container)
            if verb in {"stop", "restart"}:
                # The SDK adds its own request timeout to the grace period.
                getattr(self._client.api, verb)(identifier, timeout=round(grace_seconds))
            else:
                getattr(self._client.api, verb)(identifier)

    def use(self, container: Container) -> Use:
        """See `Runtime`. What the kernel says is read by the engine from the control group."""
        with translated(f"read the limits of {container}"):
            identifier = self._id(container)
            host = self._client.api.inspect_container(identifier)["HostConfig"]
            stats = self._client.api.stats(identifier, stream=False, one_shot=True)
        return use_of(host, stats)

    def limits(self, container: Container) -> Limits:
        """See `Runtime`."""
        with translated(f"read the limits of {container}"):
            entry = self._client.api.inspect_container(self._id(container))
        return limits_of(entry["HostConfig"])

    def limit(self, container: Container, limit: Limit) -> None:
        """See `Runtime`."""
        with translated(f"limit {container}"):
            api = self._client.api
            # The SDK's own update knows neither NanoCpus nor PidsLimit.
            url = api._url("/containers/{0}/update", self._id(container))  # noqa: SLF001
            api._raise_for_status(api._post_json(url, data=update_of(limit)))  # noqa: SLF001

    def processes(self, container: Container) -> tuple[Process, ...]:
        """See `Runtime`; a process that has ended and waits to be collected is none."""
        with translated(f"list the processes of {container}"):
            listed = self._client.api.top(self._id(container), ps_args="-eo pid,stat,comm")
        found = (Process(int(pid), stat[0], name) for pid, stat, name in listed["Processes"])
        return tuple(one for one in found if one.state != "Z")

    def run_helper(self, call: HelperCall) -> str:
        """See `Runtime`. Builds the helper image on first need."""
        with translated(f"run helper {call}"):
            return helping.run(self._client, call, self._network(call))

    def start_helper(self, call: HelperCall, tag: str, name: str) -> None:
        """See `Runtime`. Builds the helper image on first need."""
        with translated(f"start helper {call}"):
            helping.start(self._client, call, self._network(call), tag, name)

    def tell_helper(self, tag: str, name: str, command: tuple[str, ...]) -> str:
        """See `Runtime`."""
        with translated(f"run {' '.join(command)} in helper {name}"):
            return helping.tell(self._client, tag, name, command)

    def helper_said(self, tag: str, name: str) -> tuple[str, ...]:
        """See `Runtime`."""
        with translated(f"read what helper {name} said"):
            return helping.said(self._client, tag, name)

    def helpers(self, tag: str) -> tuple[str, ...]:
        """See `Runtime`."""
        with translated(f"list the helpers of fault {tag}"):
            return helping.names(self._client, tag)

    def remove_helpers(self, tag: str) -> None:
        """See `Runtime`."""
        with translated(f"remove the helpers of fault {tag}"):
            helping.remove_all(self._client, tag)

    def addresses(self, container: Container) -> dict[str, str]:
        """See `Runtime`."""
        attached = self._networks(container)
        return {name: one["IPAddress"] for name, one in attached.items() if one["IPAddress"]}

    def has_ipv6(self, container: Container) -> bool:
        """See `Runtime`."""
        attached = self._networks(container).values()
        return any(one.get("GlobalIPv6Address") for one in attached)

    def happened(self, container: Container, action: str, since: datetime) -> datetime | None:
        """See `Runtime`."""
        with translated(f"list the events of {container}"):
            identifier = self._id(container)
            filters = {"container": identifier, "event": action}
            window = {"since": since.timestamp(), "until": datetime.now(UTC).timestamp() + 1e-3}
            found = [*self._client.events(decode=True, filters=filters, **window)]
        if not found:
            return None
        return datetime.fromtimestamp(found[-1]["timeNano"] / 1e9, UTC)

    def disk_used_ratio(self) -> float:
        """See `Runtime`; needs the engine on this host."""
        with translated("look at the disk under the engine's data root"):
            usage = os.statvfs(self._client.info()["DockerRootDir"])
        return 1.0 - usage.f_bavail / usage.f_blocks

    def drop_forgotten_helpers(self) -> int:
        """
        Remove the helpers that a killed run left, but for those so young that a run may still be
        about to use them; how many.
        """
        age = helping.FORGOTTEN_SECONDS if self.marks(LOCK) else helping.IDLE_FORGOTTEN_SECONDS
        with translated("remove helpers that a killed run left"):
            return helping.drop_forgotten(self._client, time.time(), age)

    def mark(self, name: str, labels: Mapping[str, str], project: str) -> bool:
        """See `Marks`."""
        with translated(f"create the container {name}"):
            source = next(iter(self._listed(f"{PROJECT}={project}")), {})
            return marking.mark(self._client, name, labels, source)

    def marks(self, label: str) -> tuple[Mark, ...]:
        """See `Marks`."""
        with translated(f"list what is labelled {label}"):
            return marking.marks(self._client, label)

    def unmark(self, identifier: str) -> None:
        """See `Marks`."""
        with translated(f"remove the container {identifier[:12]}"):
            marking.unmark(self._client, identifier)

    def abilities(self, wanted: Collection[str]) -> frozenset[str]:
        """See `Runtime`."""
        with translated("ask the engine what it can do"):
            info = self._client.info()
        found = said(info)
        if BY_HELPER & {*wanted}:
            found |= tried(self.run_helper)
        return found & {*wanted}

    def facts(self) -> dict[str, str]:
        """What kind of engine it is, in words for people."""
        with translated("ask the engine what it is"):
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
        with translated("ask the engine for its version"):
            return str(self._client.version()["Version"])

    def _network(self, call: HelperCall) -> str:
        return f"container:{self._id(call.network_of)}" if call.network_of else "none"

    def _networks(self, container: Container) -> Mapping[str, Mapping[str, Any]]:
        """Those that it is in, by name, and what it has there."""
        with translated(f"ask for the addresses of {container}"):
            entry = self._client.api.inspect_container(self._id(container))
        networks: Mapping[str, Mapping[str, Any]] = entry["NetworkSettings"]["Networks"]
        return networks

    def _id(self, container: Container) -> str:
        listed = self._listed(
            f"{PROJECT}={container.project}",
            f"{SERVICE}={container.service}",
            f"{NUMBER}={container.number}",
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
        return [one for one in listed if not is_one_off(one["Labels"])]
