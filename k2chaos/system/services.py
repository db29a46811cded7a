"""How the pipeline's services are, as the engine tells it."""

from dataclasses import dataclass

from k2chaos.pipeline import Pipeline
from k2chaos.system.runtime import ContainerState, Runtime


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service of the pipeline file and its containers; none where it is not there."""

    service: str
    states: tuple[ContainerState, ...]

    @property
    def is_running(self) -> bool:
        """All of its containers run, and none is frozen."""
        return bool(self.states) and all(state.is_running for state in self.states)

    @property
    def is_healthy(self) -> bool:
        """It runs, and every health check that is declared passes."""
        return self.is_running and all(state.health in {"healthy", "none"} for state in self.states)

    @property
    def trouble(self) -> str:
        """What is wrong with it, in a few words; empty where nothing is."""
        if not self.states:
            return f"{self.service} is missing"
        for state in self.states:
            if not state.is_running:
                return f"{self.service} is {state.status}"
            if state.health not in {"healthy", "none"}:
                return f"{self.service} is {state.health}"
        return ""


def service_states(runtime: Runtime, pipeline: Pipeline) -> tuple[ServiceState, ...]:
    """The state of every service that the pipeline file lists, in its order."""
    found: dict[str, list[ContainerState]] = {service: [] for service in pipeline.all_services}
    for container in runtime.containers(pipeline.compose.project):
        if container.service in found:
            found[container.service].append(runtime.state(container))
    return tuple(ServiceState(service, tuple(states)) for service, states in found.items())
