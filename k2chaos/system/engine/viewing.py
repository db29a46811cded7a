"""`EngineView` over Docker Engine's API: a few calls, for somebody who makes them all the time."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from k2chaos.system.engine.labels import NUMBER, PROJECT, SERVICE, is_one_off
from k2chaos.system.engine.limiting import used_bytes
from k2chaos.system.engine.reaching import client_of, moment_of
from k2chaos.system.engine.translated import translated
from k2chaos.system.engine_view import ACTIONS, Happening, Listed, Used

_HEALTH: Final = re.compile(r"\((?:health: )?(starting|healthy|unhealthy)\)")
_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class DockerView:
    """See `EngineView`. Safe to use from several threads; one of them listens."""

    _client: Any = field(repr=False)
    _streams: list[Any] = field(default_factory=list, repr=False)

    def listed(self, project: str) -> tuple[Listed, ...]:
        """See `EngineView`."""
        with translated(f"list containers of project {project}"):
            entries = self._client.api.containers(all=True, filters={"label": _of(project)})
        return tuple(_listed(one) for one in entries if not is_one_off(one["Labels"]))

    def used(self, identifier: str) -> Used:
        """See `EngineView`."""
        with translated(f"ask what {identifier[:12]} uses"):
            stats = self._client.api.stats(identifier, stream=False, one_shot=True)
            entry = self._client.api.inspect_container(identifier)
        at = moment_of(stats["read"]) or moment_of(entry["Created"])
        assert at is not None, "a container was created"
        nanoseconds = stats["cpu_stats"]["cpu_usage"]["total_usage"]
        memory = used_bytes(stats["memory_stats"])
        return Used(at, nanoseconds / 1e9, memory, entry["RestartCount"])

    def happenings(self, project: str, since: datetime) -> Iterator[Happening]:
        """See `EngineView`."""
        filters = {"type": "container", "label": _of(project), "event": [*ACTIONS]}
        with translated(f"listen to the events of project {project}"):
            stream = self._client.events(decode=True, filters=filters, since=since.timestamp())
            self._streams[:] = [stream]  # one listens at a time; one that ended is dropped
            for event in stream:
                if not is_one_off(event["Actor"]["Attributes"]):
                    yield _happening(event)

    def close(self) -> None:
        """See `EngineView`."""
        while self._streams:
            self._streams.pop().close()
        self._client.close()


def view(address: str) -> DockerView:
    """
    Look at the engine at *address* over a connection of its own.

    Raises:
        EngineUnreachable: Nothing answers there, or we may not ask.
    """
    return DockerView(client_of(address, _SECONDS))


def _of(project: str) -> list[str]:
    return [f"{PROJECT}={project}"]


def _listed(entry: Mapping[str, Any]) -> Listed:
    health = _HEALTH.search(entry["Status"])
    name, service = _named(entry["Labels"])
    return Listed(name, service, entry["Id"], entry["State"], health[1] if health else "")


def _happening(event: Mapping[str, Any]) -> Happening:
    facts = event["Actor"]["Attributes"]
    name, service = _named(facts)
    code = facts.get("exitCode", "")
    return Happening(
        at=datetime.fromtimestamp(event["timeNano"] / 1e9).astimezone(),
        name=name,
        service=service,
        action=event["Action"],
        exit_code=int(code) if code.isdecimal() else None,
        identity=f"{event['timeNano']} {event['Actor']['ID']} {event['Action']}",
    )


def _named(labels: Mapping[str, str]) -> tuple[str, str]:
    service = labels.get(SERVICE, "")
    return f"{service}-{labels.get(NUMBER, '1')}", service
