"""
The stack as containers: order, health and its spreading, restarts, limits, ports, secrets, stops.

An outage is made once and recorded (`outages.py`); the tests assert on what was seen.
"""

import signal
from pathlib import Path

import pytest
import yaml

from k2chaos.system.lab.compose_file import read_services
from k2chaos.system.lab.env_file import read_env
from tests.e2e.events import Event
from tests.e2e.lab import Lab
from tests.e2e.outages import CRASHED, OURS, Crashes, Outage, StackRestart
from tests.e2e.paths import covers

COMPOSE = Path("stack/compose.yaml")
DECLARED = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
NEEDS = {one.name: frozenset(one.needs) for one in read_services(COMPOSE)}
SERVICES = sorted(NEEDS)
ENV = Path("stack/.env")
NOTICED_SECONDS = 30.0
MEBI = 1 << 20


# The broker is away for long enough that everybody notices.


@covers("health")
@pytest.mark.parametrize("role", ["source", "sink"])
def test_who_needs_the_broker_becomes_unhealthy_and_names_it(
    role: str, broker_outage: Outage
) -> None:
    seen = broker_outage.recording
    look = seen.first(
        seen.during(), lambda one: one.health[role][0] == 503, f"{role} says it is unhealthy"
    )

    reason = str(look.health[role][1]["reason"]).lower()
    assert "kafka" in reason or "broker" in reason
    assert seen.seconds_until(look) < NOTICED_SECONDS


@covers("health")
@pytest.mark.parametrize("role", ["source", "sink"])
def test_the_engine_calls_unhealthy_who_needs_the_broker(
    role: str, lab: Lab, broker_outage: Outage
) -> None:
    service = lab.container(role).service
    seen = broker_outage.recording

    seen.first(
        seen.during(), lambda one: one.states[service].health == "unhealthy", f"{role} unhealthy"
    )
    assert "healthy" == seen.after()[-1].states[service].health


@covers("health", "table -> API")
def test_the_api_goes_on_answering_and_says_that_it_is_degraded(broker_outage: Outage) -> None:
    during = broker_outage.recording.during()

    look = broker_outage.recording.first(
        during, lambda one: one.health["api"][1]["status"] == "degraded", "the API degraded"
    )
    ill = {d["name"] for d in look.health["api"][1]["dependencies"] if d["status"] != "healthy"}
    assert "kafka" in ill
    assert {200} == {one.read[0] for one in during}
    assert 200 == look.health["api"][0]


@covers("health")
@pytest.mark.parametrize("role", OURS)
def test_everybody_is_healthy_again_when_the_broker_is_back(
    role: str, broker_outage: Outage
) -> None:
    last = broker_outage.recording.after()[-1]

    assert (200, "healthy") == (last.health[role][0], last.health[role][1]["status"])


@covers("replay after restart")
def test_nobody_had_to_be_restarted_for_the_brokers_sake(lab: Lab, broker_outage: Outage) -> None:
    first, last = broker_outage.recording.looks[0], broker_outage.recording.after()[-1]

    for service, state in last.states.items():
        assert "running" == state.status, service
        if service != lab.container("broker").service:
            assert first.states[service].started_at == state.started_at, service


# The store is away: the sink cannot write, the API cannot follow.


@covers("health")
def test_a_sink_without_a_store_says_what_it_waits_for(store_outage: Outage) -> None:
    look = store_outage.recording.first(
        store_outage.recording.during(),
        lambda one: one.health["sink"][0] == 503,
        "the sink unhealthy",
    )

    assert "records have waited" in look.health["sink"][1]["reason"]


@covers("health", "API degraded reads")
def test_an_api_without_a_store_tells_how_old_its_answers_are(store_outage: Outage) -> None:
    look = store_outage.recording.first(
        store_outage.recording.during(),
        lambda one: bool(one.read[1].get("degraded")),
        "a degraded answer",
    )

    assert 200 == look.read[0]
    assert look.read[1]["age_seconds"] > 0
    assert look.read[1]["reason"]


@covers("health")
def test_all_is_well_when_the_store_is_back(store_outage: Outage) -> None:
    last = store_outage.recording.after()[-1]

    assert not last.read[1]["degraded"]
    assert {"healthy"} == {body["status"] for _, body in last.health.values()}


# Crashes: the restart policy answers.


@covers("start and stop", "replay after restart")
@pytest.mark.parametrize("role", CRASHED)
def test_a_service_that_crashed_is_brought_back_by_its_restart_policy(
    role: str, crashes: Crashes
) -> None:
    before, after = crashes.states[role]

    # The catalog may end once more by itself, while its database comes back.
    assert before.restart_count < after.restart_count
    assert before.pid != after.pid
    assert before.container_id == after.container_id
    assert "healthy" == after.health


@covers("replay after restart")
def test_crashes_of_everything_in_turn_cost_no_record(lab: Lab, crashes: Crashes) -> None:
    assert lab.audit(crashes.window, crashes.baseline)["api"] > 0


# The whole stack down and up again, and the engine under it.


@covers("start and stop")
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_is_stopped_ends_by_itself_within_its_grace(
    service: str, stack_restart: StackRestart
) -> None:
    asked = _first(stack_restart, service, "kill")
    ended = _first(stack_restart, service, "die")

    # SIGINT is what PostgreSQL's image asks for; SIGKILL would be the end of the engine's patience.
    assert asked.signal in {signal.SIGTERM, signal.SIGINT}
    # A JVM tells by its exit code that it ended for a SIGTERM, after its shutdown hooks.
    assert ended.exit_code in {0, 128 + signal.SIGTERM}
    assert ended.at - asked.at < _grace_seconds(service)


@covers("start and stop")
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_when_those_it_needs_are_healthy(
    service: str, stack_restart: StackRestart
) -> None:
    started = _first(stack_restart, service, "start")

    for need in NEEDS[service]:
        assert _first(stack_restart, need, "healthy").at <= started.at, need


def test_the_compose_file_declares_the_dependencies_that_there_are() -> None:
    assert NEEDS["binance-stream"] >= {"exchange", "kafka", "schema-registry-1"}
    assert NEEDS["consumer-crypto"] >= {"kafka", "schema-registry-1", "object-store"}
    assert NEEDS["consumer-crypto"] >= {"iceberg-rest"} <= NEEDS["k2-query-api"]
    assert NEEDS["iceberg-rest"] >= {"postgres", "object-store"}
    assert NEEDS["schema-registry-1"] == NEEDS["schema-registry-2"] == {"kafka"}


@covers("start and stop", "API after restart", "replay after restart")
def test_a_restart_of_the_whole_stack_midway_keeps_every_record(
    lab: Lab, stack_restart: StackRestart
) -> None:
    for service, (before, after) in stack_restart.states.items():
        assert before.container_id != after.container_id, f"{service} was not taken down"
    _check_records(lab, stack_restart)


@pytest.mark.scenario
@covers("start and stop", "replay after restart")
def test_a_restart_of_the_engine_is_survived_as_the_policies_promise(
    lab: Lab, engine_restart: StackRestart
) -> None:
    for service, (before, after) in engine_restart.states.items():
        assert "unless-stopped" == after.restart_policy, service
        assert before.container_id == after.container_id, service
        assert before.started_at != after.started_at, f"{service} was not restarted"
        assert ("running", "healthy") == (after.status, after.health), service
    _check_records(lab, engine_restart)


# What the containers are, as they run.


def test_the_declared_limits_are_in_force_inside(lab: Lab) -> None:
    for role, services in lab.pipeline.services.items():
        for service in services:
            memory = _memory_limit(lab, role, service)
            quota, period = _cpu_limit(lab, role, service)
            assert _bytes(DECLARED[service]["mem_limit"]) == memory, service
            assert quota <= 2 * period, service
            assert quota > 0, service


def test_nobody_can_write_to_an_image_or_gain_privileges(lab: Lab) -> None:
    for role, services in lab.pipeline.services.items():
        for service in services:
            status = lab.inside(role, "cat", "/proc/1/status", service=service)
            facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert 0 == int(facts["CapEff"], 16), service
            assert "1" == facts["NoNewPrivs"].strip(), service
            assert "0" != facts["Uid"].split()[0], service
            assert lab.inspect(role, service)["HostConfig"]["ReadonlyRootfs"], service


def test_no_port_is_open_beyond_the_hosts_loopback(lab: Lab) -> None:
    published = set()
    for role, services in lab.pipeline.services.items():
        for service in services:
            ports = lab.inspect(role, service)["NetworkSettings"]["Ports"]
            bound = [one for listed in ports.values() for one in listed or ()]
            assert {"127.0.0.1"} >= {one["HostIp"] for one in bound}, service
            published |= {int(one["HostPort"]) for one in bound}
    assert 8000 in published
    assert not published & _listening_beyond_loopback()


def test_no_log_holds_a_secret(lab: Lab) -> None:
    secrets = {name: value for name, value in read_env(ENV).items() if "CERT" not in name}
    assert "K2_API_KEY" in secrets
    read = 0
    for role, services in lab.pipeline.services.items():
        for service in services:
            log = lab.log(role, service)
            read += len(log)
            assert [] == [name for name, value in secrets.items() if value in log], service
    assert read > 0, "all logs are empty: nothing was tested"


def _first(restart: StackRestart, service: str, action: str) -> Event:
    """The first such event of *service*; there must be one."""
    found = (one for one in restart.events if (one.service, one.action) == (service, action))
    event = next(found, None)
    assert event is not None, f"{service}: no {action} among {len(restart.events)} events"
    return event


def _grace_seconds(service: str) -> float:
    return float(DECLARED[service]["stop_grace_period"].removesuffix("s"))


def _check_records(lab: Lab, restart: StackRestart) -> None:
    """Every record of the window at every stage once, and not a row more or less in the table."""
    assert lab.audit(restart.window, restart.baseline)["api"] > 0
    before, after = restart.rows
    assert 0 < before == after - restart.window.expected


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
