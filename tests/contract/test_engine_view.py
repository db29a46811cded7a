"""The contract of `EngineView`, held against the fake and against a real engine."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from k2chaos.errors import ContainerNotFound, EngineUnreachable
from k2chaos.system.engine import DockerRuntime
from k2chaos.system.engine.viewing import view
from k2chaos.system.engine_view import EngineView, Happening
from tests.contract.containers import docker, start_container, throwaway_project
from tests.contract.waiting import wait_until
from tests.fakes.engine_view import FakeEngineView


@dataclass(frozen=True)
class Bench:
    """A view of a project with one container, ``kafka-1``, and the hand that acts on it."""

    view: EngineView
    project: str
    since: datetime
    act: Callable[[str], object]
    remove: Callable[[], object]

    def statuses(self) -> dict[str, str]:
        return {one.name: one.status for one in self.view.listed(self.project)}


@pytest.fixture(params=["fake", "real"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The fake, then the engine."""
    project = throwaway_project()
    if request.param == "fake":
        fake = FakeEngineView()
        fake.add("kafka")
        yield Bench(fake, project, fake.clock.now(), acting(fake), lambda: fake.remove("kafka-1"))
        return
    runtime: DockerRuntime = request.getfixturevalue("engine")
    since = datetime.now(UTC)
    started = start_container(runtime.engine, project)
    one_off = start_container(runtime.engine, project, "kafka", one_off=True, number="2")
    looking = view(runtime.engine)
    try:
        yield Bench(
            looking,
            project,
            since,
            lambda verb: docker(runtime.engine, verb, started),
            lambda: docker(runtime.engine, "rm", "--force", started),
        )
    finally:
        looking.close()
        docker(runtime.engine, "rm", "--force", started, one_off)


def acting(fake: FakeEngineView) -> Callable[[str], object]:
    statuses = {"pause": "paused", "unpause": "running", "kill": "exited", "start": "running"}

    def act(verb: str) -> None:
        fake.set("kafka-1", statuses[verb])
        fake.happen("kafka-1", verb)
        if verb == "kill":
            fake.happen("kafka-1", "die", 137)

    return act


@pytest.mark.parametrize(
    "verbs, status",
    [
        ([], "running"),
        (["pause"], "paused"),
        (["pause", "unpause"], "running"),
        (["kill"], "exited"),
    ],
)
def test_one_question_tells_the_state_of_all(bench: Bench, verbs: list[str], status: str) -> None:
    for verb in verbs:
        bench.act(verb)

    assert {"kafka-1": status} == bench.statuses()


def test_what_a_container_uses_is_told(bench: Bench) -> None:
    (listed,) = bench.view.listed(bench.project)
    used = bench.view.used(listed.identifier)

    assert used.cpu_seconds >= 0
    assert used.memory_bytes > 0
    assert 0 == used.restarts
    assert abs(used.at - bench.since) < timedelta(minutes=2)


def test_one_that_is_gone_is_told_as_such(bench: Bench) -> None:
    (listed,) = bench.view.listed(bench.project)
    bench.remove()

    assert {} == bench.statuses()
    with pytest.raises(ContainerNotFound):
        bench.view.used(listed.identifier)


def test_what_happened_and_what_happens_is_told_in_its_order(bench: Bench) -> None:
    bench.act("pause")
    bench.act("unpause")
    heard: list[Happening] = []

    def listen() -> None:
        heard.extend(bench.view.happenings(bench.project, bench.since))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    wait_until(lambda: [one for one in heard if one.action == "unpause"], "the past is told")
    bench.act("kill")
    wait_until(lambda: [one for one in heard if one.action == "die"], "the present is told")

    bench.view.close()
    listener.join(20.0)
    assert not listener.is_alive()

    told = [one.action for one in heard if one.action not in {"start", "health_status"}]
    assert ["pause", "unpause", "kill", "die"] == told
    assert {"kafka-1"} == {one.name for one in heard}
    assert 137 == heard[-1].exit_code
    assert sorted(one.at for one in heard) == [one.at for one in heard]
    assert len({one.identity for one in heard}) == len(heard)


def test_an_engine_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(EngineUnreachable):
        view("tcp://127.0.0.1:9")
