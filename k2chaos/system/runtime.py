"""
What can be done to containers, whatever runs them.

Owns the identity of a target and the one way to choose it. Rules: default deny (only services
that the pipeline file lists, in its project, are ever matched); nothing matched is an error, and
so is any other number than was asked for; a container's id is never its identity, because ids
change when containers are re-created.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol

from k2chaos.errors import AmbiguousTarget, ContainerNotFound, Unsupported, UsageError
from k2chaos.pipeline import ROLES, Pipeline
from k2chaos.system.limits import Limit, Limits, Use

Status = Literal[
    "created", "running", "paused", "restarting", "removing", "exited", "dead", "missing"
]
Verb = Literal["pause", "unpause", "start", "stop", "kill", "restart"]


@dataclass(frozen=True, slots=True)
class Container:
    """
    One running thing a fault may act on.

    Attributes:
        engine: Address of the engine's API, so that any process can find it again.
        number: Compose's replica number, from 1.
    """

    engine: str
    project: str
    service: str
    number: int = 1

    def __str__(self) -> str:
        """The name people use: the service, with its number where there are several."""
        return self.service if self.number == 1 else f"{self.service}-{self.number}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a fault without container acts on: the topic, the table, the exchange's feed."""

    stage: str
    address: str

    def __str__(self) -> str:
        """The stage and where it is."""
        return f"{self.stage} at {self.address}"


@dataclass(frozen=True, slots=True)
class ContainerState:
    """
    What the engine says of one container now.

    Attributes:
        pid: Main process in the engine host's PID namespace; 0 when none runs.
        health: ``starting``, ``healthy``, ``unhealthy``, or ``none`` where no check is declared.
        restart_policy: The engine's: ``no``, ``always``, ``unless-stopped``, ``on-failure``.
    """

    status: Status
    container_id: str = ""
    pid: int = 0
    health: str = "none"
    started_at: datetime | None = None
    restart_count: int = 0
    restart_policy: str = "no"
    exit_code: int = 0
    image: str = ""

    @property
    def is_running(self) -> bool:
        """Running and not frozen."""
        return self.status == "running"


@dataclass(frozen=True, slots=True)
class Process:
    """
    One process of a container, as the engine's host sees it.

    Attributes:
        pid: In the host's PID namespace.
        state: The kernel's letter: ``S`` sleeps, ``R`` runs, ``T`` is stopped, ...
        name: Of its program, as the kernel keeps it: at most 15 characters.
    """

    pid: int
    state: str
    name: str


FAULT_LABEL: Final = "k2chaos.fault"
"""Its value is the tag of the fault that a helper belongs to."""


@dataclass(frozen=True, slots=True)
class HelperCall:
    """
    One command in a throw-away helper container, from where the target cannot be changed by it.

    Attributes:
        sees_host: It sees all processes of the engine's host, not only its own.
        capabilities: Linux capabilities to add; everything else is dropped.
        network_of: It joins the network namespace of this container; by default it has no network.
    """

    command: tuple[str, ...]
    sees_host: bool = False
    network_of: Container | None = None
    capabilities: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """The command line."""
        return " ".join(self.command)


class Runtime(Protocol):
    """The few things that can be done to containers. The fake obeys the same contract suite."""

    @property
    def engine(self) -> str:
        """Address of the engine's API."""

    def abilities(self, wanted: Collection[str]) -> frozenset[str]:
        """
        Which of *wanted* engine and host can do, in the words of `k2chaos.system.faults.needs`.

        Nothing is asked for what is not wanted: some of it takes a helper to find out.
        """

    def containers(self, project: str) -> tuple[Container, ...]:
        """All containers of *project*, stopped ones too, in the order of service and number."""

    def state(self, container: Container) -> ContainerState:
        """What the engine says now; ``missing`` where nothing answers to the identity."""

    def send(self, container: Container, verb: Verb, grace_seconds: float = 10.0) -> None:
        """
        Ask the engine for one change; returns when the engine has answered.

        Args:
            grace_seconds: For ``stop`` and ``restart``: from SIGTERM to SIGKILL.

        Raises:
            TargetNotReady: The engine refused (*is not paused*, *is not running*, ...).
            ContainerNotFound: Nothing answers to the identity.
        """

    def use(self, container: Container) -> Use:
        """
        What it may use and does use, which takes the engine up to a second to say;
        `ContainerNotFound` where nothing answers.
        """

    def limits(self, container: Container) -> Limits:
        """What the engine was told that it may use, at once; `ContainerNotFound`."""

    def limit(self, container: Container, limit: Limit) -> None:
        """Change one of its limits; errors as those of `send`."""

    def processes(self, container: Container) -> tuple[Process, ...]:
        """Its processes as the engine's host sees them; `TargetNotReady` where it is down."""

    def run_helper(self, call: HelperCall) -> str:
        """Run *call* to its end and return what it printed; `FaultError` when it failed."""

    def disk_used_ratio(self) -> float:
        """
        Share of the disk under the engine's data that is used.

        Raises:
            EngineUnreachable: It cannot be seen from here.
        """

    def start_helper(self, call: HelperCall, tag: str, name: str) -> None:
        """Start *call* and let it run; any process finds it by its fault's *tag* and its *name*."""

    def tell_helper(self, tag: str, name: str, command: tuple[str, ...]) -> str:
        """Run *command* in a lasting helper; as `run_helper`, `ContainerNotFound` if it is gone."""

    def helper_said(self, tag: str, name: str) -> tuple[str, ...]:
        """The last whole lines that a lasting helper printed; `ContainerNotFound` if it is gone."""

    def helpers(self, tag: str) -> tuple[str, ...]:
        """The names of the lasting helpers of the fault *tag*."""

    def remove_helpers(self, tag: str) -> None:
        """Remove them, with whatever they were told and is not done yet; safe to call twice."""

    def addresses(self, container: Container) -> Mapping[str, str]:
        """Its IPv4 address in each network, by the network's name; `ContainerNotFound`."""

    def has_ipv6(self, container: Container) -> bool:
        """Whether it has an IPv6 address in one of its networks."""

    def happened(self, container: Container, action: str, since: datetime) -> datetime | None:
        """
        When the engine last saw *action* (``pause``, ``unpause``, ``die``, ``start``, ...) happen
        to it; ``None`` where not since *since*, or no longer on record.
        """


def select(
    runtime: Runtime, pipeline: Pipeline, role: str, service: str | None = None, count: int = 1
) -> tuple[Container, ...]:
    """
    Choose the targets of a fault.

    Args:
        role: What the service is to the pipeline.
        service: Which one, where a role has several.
        count: How many containers are meant; any other number of matches is an error.

    Raises:
        UsageError: The role is outside the vocabulary, or the service not one of the role's.
        Unsupported: A known role that this pipeline does not have.
        ContainerNotFound: Nothing on the engine answers.
        AmbiguousTarget: Other than *count* containers answer.
    """
    found = all_of(runtime, pipeline, role, service)
    if len(found) != count:
        message = (
            f"{len(found)} containers answer to {_named(pipeline, role, service)}, {count} asked "
            f"for: {', '.join(map(str, found))}. Name one with `service`, or ask for "
            f"count={len(found)}"
        )
        raise AmbiguousTarget(message)
    return found


def all_of(
    runtime: Runtime, pipeline: Pipeline, role: str, service: str | None = None
) -> tuple[Container, ...]:
    """All containers of *role*, or of one *service* of it; errors as those of `select`."""
    names = allowed_services(pipeline, role, service)
    listed = runtime.containers(pipeline.compose.project)
    found = tuple(container for container in listed if container.service in names)
    if not found:
        message = (
            f"no container answers to {_named(pipeline, role, service)} on {runtime.engine}: is "
            "the pipeline up, and is compose.project in the pipeline file its name?"
        )
        raise ContainerNotFound(message)
    return found


def _named(pipeline: Pipeline, role: str, service: str | None) -> str:
    names = ", ".join(_listed_services(pipeline, role, service))
    return f"role {role} ({names}) in project {pipeline.compose.project}"


def allowed_services(pipeline: Pipeline, role: str, service: str | None = None) -> tuple[str, ...]:
    """The services of *role* that may be touched; errors as those of `select`."""
    names = _listed_services(pipeline, role, service)
    forbidden = sorted({*names} & {*pipeline.limits.never})
    if forbidden:
        message = (
            f"limits.never of pipeline {pipeline.name} forbids touching {', '.join(forbidden)}"
        )
        raise UsageError(message)
    return names


def _listed_services(pipeline: Pipeline, role: str, service: str | None) -> tuple[str, ...]:
    if role not in ROLES:
        message = f"{role!r} is no role; the roles are: {', '.join(ROLES)}"
        raise UsageError(message)
    names: Iterable[str] = next(
        (listed for known, listed in pipeline.services.items() if known == role), ()
    )
    if not names:
        message = (
            f"pipeline {pipeline.name} has no {role}; its roles: {', '.join(pipeline.services)}"
        )
        raise Unsupported(message)
    names = tuple(name for name in names if service in (None, name))
    if not names:
        message = f"service {service!r} is not one of the role {role} in pipeline {pipeline.name}"
        raise UsageError(message)
    return names
