"""
The stack as containers: order, health and its spreading, restarts, limits, ports, secrets, stops.

An outage is one fixture, made once and recorded; the tests below it assert on what was seen.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from k2chaos.system.faults.process import Crash, Kill, Stop
from k2chaos.system.lab.compose_file import read_services
from k2chaos.system.lab.env_file import read_env
from k2chaos.system.runtime import ContainerState
from tests.e2e.events import EngineEvents
from tests.e2e.lab import Lab
from tests.e2e.paths import covers
from tests.e2e.recording import Recording, recorded

COMPOSE = Path("stack/compose.yaml")
ENV = Path("stack/.env")
OURS = ("exchange", "source", "sink", "api")
GRACE_SECONDS = {"exchange": 15.0, "source": 15.0, "sink": 30.0, "api": 15.0}
MEBI = 1 << 20

T = TypeVar("T")


# The broker is away for long enough that everybody notices.


def _killed_until(
    lab: Lab, role: str, look: Callable[[], T], is_met: Callable[[T], bool], what: str
) -> Recording:
    """The service of *role* killed until others have said so, then back, all of it recorded."""
    lab.await_well()
    baseline = lab.baseline()
    with recorded(lab) as recording:
        with lab.outage(Kill, role) as hold:
            recording.broken_from = hold.injected_at
            lab.wait_until(look, is_met, what, 60)
            recording.broken_until = lab.clock.now()
        lab.await_well()
    lab.audit(lab.stages.window_since(baseline), baseline)
    return recording


@pytest.fixture(scope="module")
def broker_outage(lab: Lab) -> Recording:
    """The broker killed until source and sink have said so."""
    return _killed_until(
        lab,
        "broker",
        lambda: [lab.state(role).health for role in ("source", "sink")],
        lambda seen: set(seen) == {"unhealthy"},
        "source and sink unhealthy without a broker",
    )


@covers("health")
@pytest.mark.parametrize("role", ["source", "sink"])
def test_who_needs_the_broker_becomes_unhealthy_and_names_it(
    role: str, broker_outage: Recording
) -> None:
    look = broker_outage.first(
        broker_outage.during(), lambda one: one.health[role][0] == 503, f"{role} unhealthy"
    )

    reason = str(look.health[role][1]["reason"]).lower()
    assert "kafka" in reason or "broker" in reason
    assert broker_outage.seconds_until(look) < 30


@covers("health", "table -> API")
def test_the_api_goes_on_answering_and_says_that_it_is_degraded(broker_outage: Recording) -> None:
    during = broker_outage.during()

    look = broker_outage.first(
        during, lambda one: one.health["api"][1]["status"] == "degraded", "the API degraded"
    )
    ill = {d["name"] for d in look.health["api"][1]["dependencies"] if d["status"] != "healthy"}
    assert "kafka" in ill
    assert {200} == {one.read[0] for one in during}
    assert 200 == look.health["api"][0]


@covers("health")
@pytest.mark.parametrize("role", OURS)
def test_everybody_is_healthy_again_when_the_broker_is_back(
    role: str, broker_outage: Recording
) -> None:
    last = broker_outage.after()[-1]

    assert (200, "healthy") == (last.health[role][0], last.health[role][1]["status"])


@covers("replay after restart")
def test_nobody_had_to_be_restarted_by_hand(broker_outage: Recording) -> None:
    last = broker_outage.after()[-1]

    assert {"running"} == {state.status for state in last.states.values()}
    assert {"healthy"} == {state.health for state in last.states.values()}


# The store is away: the sink cannot write, the API cannot follow.


@pytest.fixture(scope="module")
def store_outage(lab: Lab) -> Recording:
    """The object store killed until the sink has said so."""
    return _killed_until(
        lab,
        "store",
        lambda: lab.health("sink"),
        lambda seen: seen[0] == 503,
        "the sink unhealthy without a store",
    )


@covers("health")
def test_a_sink_without_a_store_says_what_it_waits_for(store_outage: Recording) -> None:
    look = store_outage.first(
        store_outage.during(), lambda one: one.health["sink"][0] == 503, "the sink unhealthy"
    )

    assert "records have waited" in look.health["sink"][1]["reason"]


@covers("health", "table -> API")
def test_an_api_without_a_store_tells_how_old_its_answers_are(store_outage: Recording) -> None:
    look = store_outage.first(
        store_outage.during(), lambda one: bool(one.read[1].get("degraded")), "a degraded answer"
    )

    assert 200 == look.read[0]
    assert look.read[1]["age_seconds"] > 0
    assert look.read[1]["reason"]


@covers("health")
def test_all_is_well_when_the_store_is_back(store_outage: Recording) -> None:
    last = store_outage.after()[-1]

    assert not last.read[1]["degraded"]
    assert {"healthy"} == {body["status"] for _, body in last.health.values()}


# Crashes: the restart policy answers.


@pytest.fixture(scope="module")
def crashes(lab: Lab) -> dict[str, tuple[ContainerState, ContainerState]]:
    """Every service of ours crashed once; its state before and after, by role."""
    found = {}
    lab.await_well()
    baseline = lab.baseline()
    for role in OURS:
        before = lab.state(role)
        with lab.outage(Crash, role):
            pass
        lab.await_well()
        found[role] = (before, lab.state(role))
    lab.audit(lab.stages.window_since(baseline), baseline)
    return found


@covers("start and stop", "replay after restart")
@pytest.mark.parametrize("role", OURS)
def test_a_service_that_crashed_is_brought_back_by_its_restart_policy(
    role: str, crashes: dict[str, tuple[ContainerState, ContainerState]]
) -> None:
    before, after = crashes[role]

    assert before.restart_count + 1 == after.restart_count
    assert before.pid != after.pid
    assert before.container_id == after.container_id
    assert "healthy" == after.health


# Stops: in time, with everything flushed.


@pytest.fixture(scope="module")
def stops(lab: Lab) -> dict[str, tuple[float, int]]:
    """Every service of ours stopped once: seconds from SIGTERM to its end, and its exit code."""
    found = {}
    lab.await_well()
    baseline = lab.baseline()
    for role in OURS:
        with lab.outage(Stop, role, grace_seconds=GRACE_SECONDS[role]) as hold:
            found[role] = (hold.inject_seconds, lab.state(role).exit_code)
    lab.await_well()
    lab.audit(lab.stages.window_since(baseline), baseline)
    return found


@covers("start and stop")
@pytest.mark.parametrize("role", OURS)
def test_a_service_that_is_stopped_ends_by_itself_within_its_grace(
    role: str, stops: dict[str, tuple[float, int]]
) -> None:
    seconds, exit_code = stops[role]

    assert 0 == exit_code
    assert seconds < GRACE_SECONDS[role]


# The whole stack down and up again.


@dataclass(frozen=True)
class StackRestart:
    """What was seen of a whole restart: the engine's events, and rows before and after."""

    events: list[dict[str, Any]]
    rows_before: dict[str, int]
    rows_after: dict[str, int]
    seconds: float


@pytest.fixture(scope="module")
def stack_restart(lab: Lab) -> StackRestart:
    """`k2chaos lab down`, then `lab up`, with a market that stands still."""
    lab.await_well()
    with lab.trading_at(0):
        lab.await_all()
        before = dict(lab.stages.newest_emitted())
        began = lab.clock.monotonic()
        _k2chaos("lab", "down")
        with EngineEvents(lab.runtime.engine, lab.pipeline.compose.project) as events:
            _k2chaos("lab", "up")
            lab.await_well()
        seconds = lab.clock.monotonic() - began
        shown = {key: one.sequence for key, one in lab.stages.newest("api", before).items()}
    return StackRestart(events.seen, before, shown, seconds)


@covers("start and stop")
def test_a_service_starts_when_those_it_needs_are_healthy(stack_restart: StackRestart) -> None:
    first: dict[tuple[str, str], float] = {}
    for event in stack_restart.events:
        what = (event["service"], event["action"])
        first.setdefault(what, event["at"])
    for service in read_services(COMPOSE):
        for need in service.needs:
            assert (need, "healthy") in first, f"{need} was never healthy"
            assert first[need, "healthy"] <= first[service.name, "start"], (service.name, need)


@covers("start and stop", "table -> API")
def test_a_restart_of_the_whole_stack_keeps_every_record(stack_restart: StackRestart) -> None:
    assert stack_restart.rows_before
    assert stack_restart.rows_before == stack_restart.rows_after


# What the containers are, as they run.


def test_the_declared_limits_are_in_force_inside(flowing: Lab) -> None:
    declared = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    for role, services in flowing.pipeline.services.items():
        for service in services:
            memory = _memory_limit(flowing, role, service)
            quota, period = _cpu_limit(flowing, role, service)
            assert _bytes(declared[service]["mem_limit"]) == memory, service
            assert quota <= 2 * period, service
            assert quota > 0, service


def test_nobody_can_write_to_an_image_or_gain_privileges(flowing: Lab) -> None:
    for role, services in flowing.pipeline.services.items():
        for service in services:
            status = flowing.inside(role, "cat", "/proc/1/status", service=service)
            facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert 0 == int(facts["CapEff"], 16), service
            assert "1" == facts["NoNewPrivs"].strip(), service
            assert "0" != facts["Uid"].split()[0], service
            assert flowing.inspect(role, service)["HostConfig"]["ReadonlyRootfs"], service


def test_no_port_is_open_beyond_the_hosts_loopback(flowing: Lab) -> None:
    published = set()
    for role, services in flowing.pipeline.services.items():
        for service in services:
            ports = flowing.inspect(role, service)["NetworkSettings"]["Ports"]
            bound = [one for listed in ports.values() for one in listed or ()]
            assert {"127.0.0.1"} >= {one["HostIp"] for one in bound}, service
            published |= {int(one["HostPort"]) for one in bound}
    assert 8000 in published
    assert not published & _listening_beyond_loopback()


def test_no_log_holds_a_secret(flowing: Lab) -> None:
    secrets = {name: value for name, value in read_env(ENV).items() if "CERT" not in name}
    assert "K2_API_KEY" in secrets
    read = 0
    for role, services in flowing.pipeline.services.items():
        for service in services:
            log = flowing.log(role, service)
            read += len(log)
            assert [] == [name for name, value in secrets.items() if value in log], service
    assert read > 0, "all logs are empty: nothing was tested"


def _k2chaos(*words: str) -> None:
    command = [str(Path(sys.executable).with_name("k2chaos")), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert 0 == done.returncode, done.stdout + done.stderr


def _bytes(text: str) -> int:
    return int(text[:-1]) * {"m": MEBI, "g": 1024 * MEBI}[text[-1]]


def _memory_limit(lab: Lab, role: str, service: str) -> int:
    # Version 1 of cgroups, then version 2.
    files = "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
    return int(lab.inside(role, "sh", "-c", f"cat {files} 2>/dev/null || true", service=service))


def _cpu_limit(lab: Lab, role: str, service: str) -> tuple[int, int]:
    files = (
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us "
        "/sys/fs/cgroup/cpu.max"
    )
    said = lab.inside(role, "sh", "-c", f"cat {files} 2>/dev/null || true", service=service)
    quota, period = said.split()
    return int(quota), int(period)


def _listening_beyond_loopback() -> set[int]:
    """Ports of this host that others than itself can reach."""
    found = set()
    for table, loopback in (("tcp", "0100007F"), ("tcp6", "00000000000000000000000001000000")):
        for line in Path(f"/proc/net/{table}").read_text(encoding="utf-8").splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, port = local.split(":")
            if state == "0A" and address != loopback:
                found.add(int(port, 16))
    return found
