"""
The contract of `Runtime`, held against the fake and against a real engine.

The real one works on one tiny container of its own, in a Compose project of its own.
"""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from docker import DockerClient

from k2chaos.errors import AmbiguousTarget, ContainerNotFound, FaultError, TargetNotReady
from k2chaos.evidence.ledger import read_ledger
from k2chaos.system.engine import DockerRuntime
from k2chaos.system.engine.able import tried
from k2chaos.system.engine.helping import drop_forgotten
from k2chaos.system.faults import System
from k2chaos.system.faults.held import held, held_together, new_hold, watch
from k2chaos.system.faults.process import Pause, Stop
from k2chaos.system.faults.resources import SqueezeCpu
from k2chaos.system.runtime import Container, HelperCall, Runtime
from tests.contract.containers import IMAGE, docker, network, start_container, throwaway_project
from tests.contract.holding import holding_on
from tests.contract.waiting import wait_until
from tests.fakes.examples import BETWEEN, EXAMPLES, PEER
from tests.fakes.runtime import FakeRuntime

_DEAF = "trap '' TERM; while :; do sleep 0.1; done"
_GRACE_SECONDS = 3.0


@dataclass(frozen=True)
class Bench:
    """A runtime with one running container on it."""

    runtime: Runtime
    target: Container
    network: str = ""

    def add_peer(self) -> Container:
        """Start another one of the project, in the same network."""
        peer = Container(self.target.engine, self.target.project, PEER)
        if isinstance(self.runtime, FakeRuntime):
            return self.runtime.add(PEER, project=peer.project)
        start_container(peer.engine, peer.project, PEER, network=self.network)
        return peer


@pytest.fixture(scope="module")
def joined(engine: DockerRuntime) -> Iterator[str]:
    """A network for the containers of all benches."""
    with network(engine.engine, throwaway_project()) as name:
        yield name


@pytest.fixture(params=["fake", "real"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The fake, then the engine."""
    if request.param == "fake":
        fake = FakeRuntime()
        yield Bench(fake, fake.add("kafka", project="k2chaos-test"))
        return
    runtime: DockerRuntime = request.getfixturevalue("engine")
    project, joined = throwaway_project(), request.getfixturevalue("joined")
    start_container(runtime.engine, project, network=joined)
    try:
        yield Bench(runtime, Container(runtime.engine, project, "kafka"), joined)
    finally:
        _remove_all(runtime.engine, project)


def _remove_all(engine: str, project: str) -> None:
    label = f"label=com.docker.compose.project={project}"
    listed = docker(engine, "ps", "--all", "--quiet", "--filter", label)
    docker(engine, "rm", "--force", *listed.split())


def test_an_engine_that_can_do_everything_says_what_was_asked(bench: Bench) -> None:
    wanted = {"host-pid", "netfilter", "nfqueue", "sock-destroy"}

    assert wanted == bench.runtime.abilities(wanted)
    assert {"nfqueue"} == bench.runtime.abilities({"nfqueue"})
    assert {"pids"} == bench.runtime.abilities({"pids", "flying"})


def test_a_host_that_can_run_no_helper_can_filter_no_packets() -> None:
    def cannot(call: HelperCall) -> str:
        message = f"helper {call} failed"
        raise FaultError(message)

    assert frozenset() == tried(cannot)


def test_a_helper_without_the_capability_shows_no_ability(engine: DockerRuntime) -> None:
    def weak(call: HelperCall) -> str:
        return engine.run_helper(replace(call, capabilities=("KILL",)))

    assert frozenset() == tried(weak)


def test_a_running_container_is_listed_and_says_it_runs(bench: Bench) -> None:
    state = bench.runtime.state(bench.target)

    assert (bench.target,) == bench.runtime.containers(bench.target.project)
    assert state.is_running
    assert state.pid > 0
    assert state.started_at is not None
    assert "unless-stopped" == state.restart_policy


def test_a_paused_container_is_paused_until_it_is_thawed(bench: Bench) -> None:
    bench.runtime.send(bench.target, "pause")
    paused = bench.runtime.state(bench.target).status
    bench.runtime.send(bench.target, "unpause")

    assert "paused" == paused
    assert bench.runtime.state(bench.target).is_running


def test_thawing_what_is_not_frozen_is_refused(bench: Bench) -> None:
    with pytest.raises(TargetNotReady):
        bench.runtime.send(bench.target, "unpause")


def test_a_stopped_container_is_still_listed_and_has_no_process(bench: Bench) -> None:
    bench.runtime.send(bench.target, "stop", grace_seconds=2)
    state = bench.runtime.state(bench.target)

    assert (bench.target,) == bench.runtime.containers(bench.target.project)
    assert ("exited", 0) == (state.status, state.pid)


def test_a_kill_keeps_the_container_down_whatever_the_restart_policy(bench: Bench) -> None:
    bench.runtime.send(bench.target, "kill")

    assert "exited" == bench.runtime.state(bench.target).status


def test_killing_what_is_dead_is_refused(bench: Bench) -> None:
    bench.runtime.send(bench.target, "kill")

    with pytest.raises(TargetNotReady):
        bench.runtime.send(bench.target, "kill")


def test_starting_what_runs_changes_nothing(bench: Bench) -> None:
    before = bench.runtime.state(bench.target)
    bench.runtime.send(bench.target, "start")

    assert before == bench.runtime.state(bench.target)


def test_a_restart_moves_the_start_time_and_not_the_id(bench: Bench) -> None:
    before = bench.runtime.state(bench.target)
    bench.runtime.send(bench.target, "restart", grace_seconds=2)
    after = bench.runtime.state(bench.target)

    assert before.started_at != after.started_at
    assert before.container_id == after.container_id


def test_a_helper_that_kills_the_main_process_lets_the_restart_policy_act(bench: Bench) -> None:
    before = bench.runtime.state(bench.target)
    kill = HelperCall(
        ("sh", "-c", f"kill -KILL {before.pid}"), sees_host=True, capabilities=("KILL",)
    )
    bench.runtime.run_helper(kill)

    wait_until(lambda: bench.runtime.state(bench.target).restart_count == 1, "restarted", 10.0)
    wait_until(lambda: bench.runtime.state(bench.target).is_running, "running", 10.0)


def test_what_is_not_there_is_missing_and_cannot_be_changed(bench: Bench) -> None:
    nobody = Container(bench.runtime.engine, bench.target.project, "nobody")

    assert "missing" == bench.runtime.state(nobody).status
    with pytest.raises(ContainerNotFound):
        bench.runtime.send(nobody, "pause")


def test_the_disk_under_the_engine_is_partly_used(bench: Bench) -> None:
    assert 0 < bench.runtime.disk_used_ratio() < 1


def test_a_name_can_be_had_once_and_is_no_container_of_the_project(bench: Bench) -> None:
    assert isinstance(bench.runtime, DockerRuntime | FakeRuntime)
    marks, project = bench.runtime, bench.target.project
    name, label = f"k2chaos-test-mark-{project}", f"k2chaos.test.{project}"

    assert marks.mark(name, {label: "first"}, project)
    try:
        assert not marks.mark(name, {label: "second"}, project)
        (found,) = marks.marks(label)
        assert "first" == found.labels[label]
        assert (bench.target,) == bench.runtime.containers(project)
    finally:
        for one in marks.marks(label):
            marks.unmark(one.identifier)
    marks.unmark(found.identifier)
    assert () == marks.marks(label)


def test_a_mark_made_from_an_image_of_the_project_is_never_taken_for_its_service(
    real: Bench,
) -> None:
    """Images that Compose built carry its labels, and containers inherit them."""
    runtime, project = real.runtime, real.target.project
    assert isinstance(runtime, DockerRuntime)
    changes = [
        part
        for label in (f"project={project}", "service=kafka", "container-number=1")
        for part in ("--change", f"LABEL com.docker.compose.{label}")
    ]
    identifier, tag = runtime.state(real.target).container_id, f"k2chaos-test/{project}"
    docker(runtime.engine, "commit", *changes, identifier, tag)
    docker(runtime.engine, "rm", "--force", identifier)
    labels = [
        f"--label=com.docker.compose.{one}" for one in (f"project={project}", "service=kafka")
    ]
    docker(runtime.engine, "run", "--detach", "--network=none", *labels, tag, "sleep", "60")
    try:
        assert runtime.mark(f"k2chaos-test-mark-{project}", {"k2chaos.test": project}, project)
        (mark,) = (one for one in runtime.marks("k2chaos.test") if project in one.labels.values())
        listed = runtime.containers(project)
        runtime.unmark(mark.identifier)
    finally:
        docker(runtime.engine, "kill", runtime.state(real.target).container_id)
        docker(runtime.engine, "rmi", "--force", tag)

    assert (real.target,) == listed


def test_other_projects_are_not_listed(bench: Bench) -> None:
    assert () == bench.runtime.containers(f"{bench.target.project}-other")


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_every_fault_is_seen_and_leaves_nothing_behind(
    kind: str, bench: Bench, tmp_path: Path
) -> None:
    holding = holding_on(System(bench.runtime), tmp_path)
    if kind in BETWEEN:
        bench.add_peer()

    with held(EXAMPLES[kind](bench.target), 5.0, holding) as hold:
        pass

    assert bench.runtime.state(bench.target).is_running
    assert hold.healed_at is not None
    assert read_ledger(tmp_path / "faults.jsonl").entries[0].was_witnessed


@pytest.fixture
def real(engine: DockerRuntime) -> Iterator[Bench]:
    """The engine alone, and whatever else is started in its project removed at the end."""
    project = throwaway_project()
    start_container(engine.engine, project)
    try:
        yield Bench(engine, Container(engine.engine, project, "kafka"))
    finally:
        _remove_all(engine.engine, project)


def test_when_a_pause_began_and_ended_is_told_by_the_engine(real: Bench, tmp_path: Path) -> None:
    holding = holding_on(System(real.runtime), tmp_path)
    begin_at = holding.clock.now() + timedelta(seconds=1)

    with held(Pause(real.target), 5.0, holding, begin_at) as hold:
        watch([hold], 0.3, holding)

    assert hold.sent_at is not None
    assert hold.injected_at is not None
    assert hold.began_at is not None
    assert hold.ended_at is not None
    assert hold.healed_at is not None
    assert hold.sent_at < hold.began_at < hold.injected_at < hold.ended_at < hold.healed_at
    assert hold.sent_at < begin_at


def test_a_fault_does_not_wait_for_another_that_takes_long_to_strike(
    real: Bench, tmp_path: Path
) -> None:
    runtime, project = real.runtime, real.target.project
    start_container(runtime.engine, project, "deaf", script=_DEAF)
    deaf = Container(runtime.engine, project, "deaf")
    holding = holding_on(System(runtime), tmp_path)
    begin_at = holding.clock.now() + timedelta(seconds=1)
    faults = (Stop(deaf, grace_seconds=_GRACE_SECONDS), Pause(real.target))
    stop, pause = holds = [new_hold(fault, holding, begin_at) for fault in faults]

    with held_together(holds, 20.0, holding):
        assert "exited" == runtime.state(deaf).status
        assert "paused" == runtime.state(real.target).status

    assert stop.injected_at is not None
    assert pause.began_at is not None
    assert (pause.began_at - begin_at).total_seconds() < _GRACE_SECONDS / 2
    assert (stop.injected_at - begin_at).total_seconds() > _GRACE_SECONDS / 2
    assert runtime.state(deaf).is_running
    assert runtime.state(real.target).is_running
    assert () == read_ledger(tmp_path / "faults.jsonl").open


def test_a_container_of_compose_run_is_never_taken_for_the_service(real: Bench) -> None:
    one_off = start_container(real.runtime.engine, real.target.project, one_off=True)

    real.runtime.send(real.target, "pause")

    assert (real.target,) == real.runtime.containers(real.target.project)
    inspect = ("inspect", "--format", "{{.State.Status}}", one_off)
    assert "running" == docker(real.runtime.engine, *inspect).strip()
    assert "paused" == real.runtime.state(real.target).status


def test_two_containers_that_call_themselves_the_same_are_both_left_alone(real: Bench) -> None:
    start_container(real.runtime.engine, real.target.project)

    with pytest.raises(AmbiguousTarget, match="several containers call themselves kafka"):
        real.runtime.send(real.target, "pause")


def test_a_label_that_is_no_number_breaks_nothing(real: Bench) -> None:
    start_container(real.runtime.engine, real.target.project, "stranger", number="abc")

    services = [one.service for one in real.runtime.containers(real.target.project)]
    assert ["kafka", "stranger"] == services
    assert real.runtime.state(real.target).is_running


@pytest.mark.parametrize(
    "limits",
    [(), ("--cpus", "1"), ("--cpu-quota", "150000", "--cpu-period", "100000")],
    ids=["unlimited", "in cores", "as a quota"],
)
def test_a_squeezed_container_has_the_limit_of_before_again(
    limits: tuple[str, ...], engine: DockerRuntime, tmp_path: Path
) -> None:
    project = throwaway_project()
    name = start_container(engine.engine, project, limits=limits)
    target = Container(engine.engine, project, "kafka")
    holding = holding_on(System(engine), tmp_path)
    try:
        before = engine.use(target).cpu.limit
        with held(SqueezeCpu(target, 0.05), 5.0, holding):
            during = engine.use(target).cpu.limit
        after = engine.use(target).cpu.limit
    finally:
        docker(engine.engine, "rm", "--force", name)

    assert 0.05 == during.cores
    assert before.cores == after.cores
    assert before.nano_cpus == after.nano_cpus


SLEEP = HelperCall(("sleep", "infinity"))
TRY = ("python3", "/opt/k2chaos/watch.py")
HOW = ("knock", '{"patience_seconds": 1}')


def test_a_helper_that_lasts_is_found_by_its_tag_and_is_told_things(bench: Bench) -> None:
    runtime, tag = bench.runtime, uuid.uuid4().hex[:8]
    peer = bench.add_peer()
    (address,) = runtime.addresses(bench.target).values()
    watch_it = HelperCall((*TRY, "0", *HOW, address), network_of=peer)
    try:
        runtime.start_helper(watch_it, tag, "watcher")
        wait_until(lambda: runtime.helper_said(tag, "watcher"), "it says something")
        names = runtime.helpers(tag)
        told = runtime.tell_helper(tag, "watcher", (*TRY, "1", *HOW, address))
        lines = runtime.helper_said(tag, "watcher")
    finally:
        runtime.remove_helpers(tag)
    runtime.remove_helpers(tag)

    assert ("watcher",) == names
    for line in (told, *lines):
        assert 0 < json.loads(line)["saw"][address]["answered_ms"] < 1000
    assert () == runtime.helpers(tag)
    with pytest.raises(ContainerNotFound):
        runtime.helper_said(tag, "watcher")
    with pytest.raises(ContainerNotFound):
        runtime.tell_helper(tag, "watcher", (*TRY, "1", *HOW, address))


def test_what_a_helper_said_that_has_ended_is_not_believed(real: Bench) -> None:
    runtime, tag = real.runtime, uuid.uuid4().hex[:8]
    call = HelperCall(("sh", "-c", "echo seen"), network_of=real.target)

    def has_ended() -> bool:
        try:
            runtime.helper_said(tag, "watcher")
        except ContainerNotFound:
            return True
        return False

    try:
        runtime.start_helper(call, tag, "watcher")
        wait_until(has_ended, "it is not believed")
        names = runtime.helpers(tag)
    finally:
        runtime.remove_helpers(tag)

    assert ("watcher",) == names


def test_a_helper_cannot_join_the_network_of_what_is_down_and_leaves_nothing(bench: Bench) -> None:
    runtime, tag = bench.runtime, uuid.uuid4().hex[:8]
    runtime.send(bench.target, "kill")
    call = HelperCall((*TRY, "1", *HOW, "127.0.0.1"), network_of=bench.target)

    with pytest.raises(TargetNotReady):
        runtime.start_helper(call, tag, "watcher")
    with pytest.raises(TargetNotReady):
        runtime.run_helper(call)

    assert () == runtime.helpers(tag)


def test_helpers_that_a_killed_run_left_are_removed_once_they_are_old(real: Bench) -> None:
    engine, now = real.runtime.engine, time.time()
    project = f"com.docker.compose.project={real.target.project}"  # removed with the fixture
    labels = ("--label", "k2chaos.helper=true", "--label", project, "--network", "none")
    never_started = docker(engine, "create", *labels, IMAGE, "true").strip()
    running = docker(engine, "run", "--detach", *labels, IMAGE, "sleep", "600").strip()
    client = DockerClient(base_url=engine)

    def are_there() -> set[str]:
        listed = docker(
            engine, "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={project}"
        )
        return {never_started, running} & {*listed.split()}

    drop_forgotten(client, now + 30)
    young = are_there()
    drop_forgotten(client, now + 120)

    assert {never_started, running} == young
    assert {running} == are_there()
