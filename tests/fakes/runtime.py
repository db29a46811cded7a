"""A runtime of containers that exist in memory only; obeys tests/contract/test_runtime.py."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from k2chaos.errors import ContainerNotFound, TargetNotReady
from k2chaos.system.engine_lock import Mark
from k2chaos.system.faults.needs import ABILITIES
from k2chaos.system.limits import Limit, Limits, Use
from k2chaos.system.runtime import (
    Container,
    ContainerState,
    HelperCall,
    Process,
    Verb,
)
from tests.fakes.kernel import FakeKernel
from tests.fakes.network import FakeNetwork
from tests.fakes.resources import FakeResources

ENGINE = "fake://engine"


@dataclass
class FakeRuntime:
    """Containers with their states; `broken` swallows commands to show broken injectors."""

    engine: str = ENGINE
    states: dict[Container, ContainerState] = field(default_factory=dict)
    sent: list[tuple[str, str]] = field(default_factory=list)
    broken: Callable[[Container, str], bool] = lambda _container, _verb: False
    refused_once: set[str] = field(default_factory=set)
    resources: FakeResources = field(default_factory=FakeResources)
    kernel: FakeKernel = field(default_factory=FakeKernel)
    network: FakeNetwork = field(default_factory=FakeNetwork)
    happenings: dict[tuple[Container, str], datetime] = field(default_factory=dict)
    able: frozenset[str] = frozenset(ABILITIES)
    asked: list[frozenset[str]] = field(default_factory=list)
    ticks: int = 0
    disk_used: float = 0.5
    marked: dict[str, Mark] = field(default_factory=dict)

    def add(
        self, service: str, project: str = "k2-lab", number: int = 1, policy: str = "unless-stopped"
    ) -> Container:
        """Create and start one container."""
        container = Container(self.engine, project, service, number)
        self.states[container] = ContainerState("created", restart_policy=policy)
        self._start(container)
        return container

    def abilities(self, wanted: Collection[str]) -> frozenset[str]:
        """See `Runtime`."""
        self.asked.append(frozenset(wanted))
        return self.able & {*wanted}

    def version(self) -> str:
        """See `Engine`."""
        return "0.0"

    def containers(self, project: str) -> tuple[Container, ...]:
        """See `Runtime`."""
        return tuple(one for one in self.states if one.project == project)

    def state(self, container: Container) -> ContainerState:
        """See `Runtime`."""
        return self.states.get(container, ContainerState("missing"))

    def send(self, container: Container, verb: Verb, grace_seconds: float = 10.0) -> None:
        """See `Runtime`."""
        del grace_seconds
        self.sent.append((verb, container.service))
        self._must_be_there(container)
        if verb in self.refused_once:
            self.refused_once.discard(verb)
            message = f"the engine refused to {verb}"
            raise TargetNotReady(message)
        if not self.broken(container, verb):
            self._apply(container, verb)

    def use(self, container: Container) -> Use:
        """See `Runtime`."""
        self._must_be_there(container)
        return self.resources.use(container, is_running=bool(self.states[container].pid))

    def limits(self, container: Container) -> Limits:
        """See `Runtime`."""
        use = self.use(container)
        return Limits(use.cpu.limit, use.memory.limit, use.processes.limit)

    def limit(self, container: Container, limit: Limit) -> None:
        """See `Runtime`."""
        self.sent.append(("limit", container.service))
        self._must_be_there(container)
        if not self.broken(container, "limit"):
            self.resources.limit(container, limit)

    def processes(self, container: Container) -> tuple[Process, ...]:
        """See `Runtime`."""
        self._must_run(container)
        return self.kernel.processes(self.states[container])

    def run_helper(self, call: HelperCall) -> str:
        """See `Runtime`; understands ``kill -KILL pid``, and what `FakeKernel` answers."""
        script = call.command[-1]
        self.sent.append(("helper", script))
        if "kill -STOP" in script and any(self.broken(one, "freeze") for one in self.states):
            return ""
        if call.network_of is not None:
            self._must_run(call.network_of)
            return self.network.answer(call.network_of, call.command)
        if (answer := self.kernel.answer(call)) is not None:
            return answer
        pid = int(script.rsplit(" ", 1)[-1])
        for container, state in self.states.items():
            if state.pid == pid and not self.broken(container, "crash"):
                self._exit(container)
                if state.restart_policy != "no":
                    self._start(container)
                    self._update(container, restart_count=state.restart_count + 1)
                break
        return ""

    def disk_used_ratio(self) -> float:
        """See `Runtime`."""
        return self.disk_used

    def mark(self, name: str, labels: Mapping[str, str], project: str) -> bool:
        """See `Marks`."""
        del project
        self.ticks += 1
        mine = Mark(f"mark-{self.ticks}", dict(labels))
        return self.marked.setdefault(name, mine) is mine

    def marks(self, label: str) -> tuple[Mark, ...]:
        """See `Marks`."""
        return tuple(one for one in self.marked.values() if label in one.labels)

    def unmark(self, identifier: str) -> None:
        """See `Marks`."""
        self.marked = {
            name: one for name, one in self.marked.items() if one.identifier != identifier
        }

    def start_helper(self, call: HelperCall, tag: str, name: str) -> None:
        """See `Runtime`."""
        self.sent.append(("start-helper", name))
        if call.network_of is not None:
            self._must_run(call.network_of)
        self.network.place(call, tag, name)

    def tell_helper(self, tag: str, name: str, command: tuple[str, ...]) -> str:
        """See `Runtime`; whoever is broken loses the rules."""
        helper = self.network.helper(tag, name)
        self.sent.append(("tell-helper", name))
        is_lost = command[-1].startswith("*") and self.broken(helper.at, "rules")
        return "1700000000.0\n" if is_lost else helper.answer(command)

    def helper_said(self, tag: str, name: str) -> tuple[str, ...]:
        """See `Runtime`."""
        return self.network.helper(tag, name).said()

    def helpers(self, tag: str) -> tuple[str, ...]:
        """See `Runtime`."""
        return self.network.names(tag)

    def remove_helpers(self, tag: str) -> None:
        """See `Runtime`."""
        self.network.remove(tag)

    def addresses(self, container: Container) -> dict[str, str]:
        """See `Runtime`; all of them are in one network, but for those that are told apart."""
        self._must_be_there(container)
        return self.network.addresses(container)

    def has_ipv6(self, container: Container) -> bool:
        """See `Runtime`."""
        return container in self.network.dual

    def happened(self, container: Container, action: str, since: datetime) -> datetime | None:
        """See `Runtime`; of events this engine keeps what `happenings` says."""
        at = self.happenings.get((container, action))
        return at if at is not None and at >= since else None

    def _must_run(self, container: Container) -> None:
        self._must_be_there(container)
        if not self.states[container].pid:
            message = f"{container} is not running"
            raise TargetNotReady(message)

    def _must_be_there(self, container: Container) -> None:
        if container not in self.states:
            message = f"no {container}"
            raise ContainerNotFound(message)

    def _apply(self, container: Container, verb: Verb) -> None:
        status = self.states[container].status
        refusals = {"pause": status != "running", "unpause": status != "paused"}
        refusals["kill"] = status not in {"running", "paused"}
        if refusals.get(verb):
            message = f"cannot {verb} {container}: it is {status}"
            raise TargetNotReady(message)
        if verb == "pause":
            self._update(container, status="paused")
        elif verb == "unpause":
            self._update(container, status="running")
        elif verb in {"stop", "kill"}:
            self._exit(container)
        elif verb == "restart" or status != "running":
            self._start(container)

    def _exit(self, container: Container) -> None:
        self.network.end(container)
        self._update(container, status="exited", pid=0, exit_code=137)

    def _start(self, container: Container) -> None:
        self.ticks += 1
        self.network.end(container)
        self._update(
            container,
            status="running",
            pid=1000 + self.ticks,
            container_id=self.states[container].container_id or f"id-{self.ticks}",
            started_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.ticks),
        )

    def _update(self, container: Container, **changes: object) -> None:
        self.states[container] = replace(self.states[container], **changes)  # type: ignore[arg-type]
