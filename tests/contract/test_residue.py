"""
Runs killed at the steps of every kind of fault leave nothing broken: a sample; `make residue` is
the long form. And the oracle that says so does see what is broken.
"""

import itertools
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from k2chaos.system.engine import DockerRuntime
from tests.contract.containers import docker, start_container, throwaway_project
from tests.contract.exchange_process import Exchange, running_exchange
from tests.fakes.examples import EXAMPLES, FEED_EXAMPLES
from tools.residue import oracle
from tools.residue.boundaries import BOUNDARIES, Boundary
from tools.residue.trials import run_trial
from tools.residue.victim import Trial

KINDS = {*EXAMPLES, *FEED_EXAMPLES}
"""Without those that need a lab: a tiny container is there in no time, a broker is not."""
SAMPLE = 2 * len(KINDS)
"""Enough that each kind is on record at one death at least: few are so early that it is not."""


@pytest.mark.usefixtures("engine")
def test_a_run_that_is_killed_leaves_nothing_broken(engine: DockerRuntime) -> None:
    # Kinds, boundaries and deaths of the guardian take turns, with periods that share no factor.
    turns = zip(
        itertools.cycle(sorted(KINDS)),
        itertools.cycle(BOUNDARIES),
        itertools.cycle((False, True, False)),
        range(SAMPLE),
        strict=False,
    )
    trials = [
        Trial(kind, boundary, dies, seed, engine.engine, throwaway_project(), Path())
        for kind, boundary, dies, seed in turns
    ]
    with ThreadPoolExecutor(3) as pool:
        results = [*pool.map(run_trial, trials)]

    assert [] == [(one.trial, one.residue) for one in results if one.residue]
    assert KINDS == {one.trial.kind for one in results if one.was_tried}


@pytest.fixture
def container(engine: DockerRuntime) -> Iterator[str]:
    identifier = start_container(engine.engine, throwaway_project())
    try:
        yield identifier
    finally:
        docker(engine.engine, "rm", "--force", identifier)


def _in_its_network(engine: DockerRuntime, container: str, *words: str) -> None:
    (pid,) = docker(engine.engine, "inspect", "--format", "{{.State.Pid}}", container).split()
    subprocess.run(("nsenter", "--target", pid, "--net", *words), check=True)


@pytest.mark.parametrize(
    "what, words",
    [
        ("status", ("pause",)),
        ("status", ("kill",)),
        ("limits", ("update", "--cpu-quota", "5000")),
        ("limits", ("update", "--pids-limit", "100")),
        ("limits", ("update", "--memory", "64m", "--memory-swap", "64m")),
    ],
)
def test_the_oracle_sees_what_the_engine_changed(
    what: str, words: tuple[str, ...], engine: DockerRuntime, container: str
) -> None:
    before = oracle.look(engine.engine, container)
    docker(engine.engine, *words, container)
    after = oracle.look(engine.engine, container)

    assert any(line.startswith(what) for line in oracle.differences(before, after))


@pytest.mark.parametrize(
    "words",
    [
        ("iptables", "-A", "OUTPUT", "-d", "10.9.9.9", "-j", "DROP"),
        ("iptables", "-N", "LEFT"),
        ("tc", "qdisc", "add", "dev", "lo", "root", "handle", "1:", "htb"),
    ],
)
def test_the_oracle_sees_rules_in_the_network_namespace(
    words: tuple[str, ...], engine: DockerRuntime, container: str
) -> None:
    before = oracle.look(engine.engine, container)
    _in_its_network(engine, container, *words)
    after = oracle.look(engine.engine, container)

    assert any(line.startswith("rules") for line in oracle.differences(before, after))


def test_the_oracle_sees_a_stopped_process(engine: DockerRuntime, container: str) -> None:
    before = oracle.look(engine.engine, container)
    (pid,) = docker(engine.engine, "inspect", "--format", "{{.State.Pid}}", container).split()
    subprocess.run(("kill", "-STOP", pid), check=True)
    after = oracle.look(engine.engine, container)

    assert any("stopped processes" in line for line in oracle.differences(before, after))


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    with running_exchange(tmp_path_factory.mktemp("exchange")) as one:
        yield one


@pytest.mark.parametrize(
    "order, what",
    [
        ({"kind": "stall"}, "trades come"),
        ({"kind": "refuse"}, "connections"),
        ({"kind": "disconnect_storm", "every_seconds": 0.2}, "connections"),
        ({"kind": "malformed", "percent": 30}, "trades missing"),
        ({"kind": "duplicate", "percent": 30}, "trades missing"),
        ({"kind": "reorder", "percent": 30}, "trades missing"),
        ({"kind": "delay", "milliseconds": 1000}, "trades come in time"),
        ({"kind": "burst", "factor": 10}, "the rate is plain"),
    ],
)
def test_the_oracle_sees_what_an_exchange_does(
    order: dict[str, Any], what: str, exchange: Exchange
) -> None:
    client, tag = exchange.exchange(), order["kind"]
    before = oracle.look_at_feed(exchange.control, exchange.stream)
    client.place_order(tag, order, datetime.now(UTC) + timedelta(seconds=60))
    after = oracle.look_at_feed(exchange.control, exchange.stream)
    client.take_order_back(tag)
    lines = oracle.differences(before, after)

    assert any(line.startswith("orders in force") for line in lines)
    assert any(line.startswith(what) for line in lines)
    assert [] == oracle.differences(before, oracle.look_at_feed(exchange.control, exchange.stream))


def test_every_step_can_be_died_at() -> None:
    assert len(BOUNDARIES) == len({str(boundary) for boundary in BOUNDARIES})
    assert Boundary("after", "inject") in BOUNDARIES
