"""
Runs killed at the steps of every kind of fault leave nothing broken: a sample; `make residue` is
the long form. And the oracle that says so does see what is broken.
"""

import itertools
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from k2chaos.system.engine import DockerRuntime
from tests.contract.containers import docker, start_container
from tests.fakes.examples import EXAMPLES
from tools.residue import oracle
from tools.residue.boundaries import BOUNDARIES, Boundary
from tools.residue.trials import project_name, run_trial
from tools.residue.victim import Trial

SAMPLE = 36


@pytest.mark.usefixtures("engine")
def test_a_run_that_is_killed_leaves_nothing_broken(engine: DockerRuntime) -> None:
    # Kinds, boundaries and deaths of the guardian take turns, with periods that share no factor.
    turns = zip(
        itertools.cycle(sorted(EXAMPLES)),
        itertools.cycle(BOUNDARIES),
        itertools.cycle((False, True, False)),
        range(SAMPLE),
        strict=False,
    )
    trials = [
        Trial(kind, boundary, dies, seed, engine.engine, project_name(), Path())
        for kind, boundary, dies, seed in turns
    ]
    with ThreadPoolExecutor(3) as pool:
        results = [*pool.map(run_trial, trials)]

    assert [] == [(one.trial, one.residue) for one in results if one.residue]
    assert {*EXAMPLES} == {one.trial.kind for one in results if one.was_tried}


@pytest.fixture
def container(engine: DockerRuntime) -> Iterator[str]:
    identifier = start_container(engine.engine, project_name())
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


def test_every_step_can_be_died_at() -> None:
    assert len(BOUNDARIES) == len({str(boundary) for boundary in BOUNDARIES})
    assert Boundary("after", "inject") in BOUNDARIES
