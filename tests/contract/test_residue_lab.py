"""
The residue oracle of the lab sees what is broken, and nothing of what is not.

Skipped where the lab is not up: nothing here brings it up.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from k2chaos.system.endpoints import FileEndpoints
from k2chaos.system.engine import DockerRuntime
from tests.contract.containers import docker
from tools.residue.lab_oracle import Lab, look_at_lab
from tools.residue.oracle import differences, troubles
from tools.residue.places import LAB_PIPELINE, lab_is_up, lab_on

ENDPOINTS = FileEndpoints(LAB_PIPELINE)


@pytest.fixture
def lab(engine: DockerRuntime) -> Lab:
    if not lab_is_up(engine.engine):
        pytest.skip("the lab is not up: k2chaos lab up")
    return lab_on(engine.engine)


@contextmanager
def _quota(client_id: str) -> Iterator[None]:
    topic = ENDPOINTS.topic()
    topic.set_byte_rate(client_id, 1e9)
    try:
        yield
    finally:
        topic.set_byte_rate(client_id, None)


@contextmanager
def _setting() -> Iterator[None]:
    topic = ENDPOINTS.topic()
    topic.set_size_limit("900000")
    try:
        yield
    finally:
        topic.set_size_limit(None)


@contextmanager
def _member() -> Iterator[None]:
    topic = ENDPOINTS.topic()
    topic.join("somebody", 60.0)
    try:
        yield
    finally:
        topic.expel("somebody")


@contextmanager
def _impostor() -> Iterator[None]:
    """In a process of its own, as one that outlived its run would be."""
    script = (
        "import sys; from pathlib import Path; from k2chaos.system.endpoints import FileEndpoints;"
        "FileEndpoints(Path(sys.argv[1])).topic().join('somebody', 60.0, 'consumer-crypto-1');"
        "print(flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", script, str(LAB_PIPELINE)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


@contextmanager
def _commits() -> Iterator[None]:
    table = ENDPOINTS.table()
    table.start_commits("somebody", 2.0, 60.0)
    try:
        yield
    finally:
        table.stop_commits("somebody")


@pytest.mark.parametrize(
    "broken, what",
    [
        (lambda: _quota(""), "quotas"),
        (lambda: _quota("binance-stream"), "quotas"),
        (_setting, "settings of topics"),
        (_member, "members of the group"),
        (_impostor, "clients on this machine"),
        (_commits, "nobody else commits"),
    ],
    ids=["quota of all", "quota of one", "setting", "member", "impostor", "commits"],
)
def test_the_oracle_sees_what_was_left_on_the_lab(
    broken: Callable[[], Any], what: str, lab: Lab
) -> None:
    before = look_at_lab(lab)
    with broken():
        during = look_at_lab(lab)

    assert [] == troubles(before)
    assert any(line.startswith(what) for line in differences(before, during))
    assert [] == differences(before, look_at_lab(lab))


def test_the_oracle_sees_a_sink_that_is_dead(lab: Lab) -> None:
    before = look_at_lab(lab)
    listed = ("ps", "--quiet", "--filter", f"label=com.docker.compose.project={lab.project}")
    sink = "label=com.docker.compose.service=consumer-crypto"
    (identifier,) = docker(lab.engine, *listed, "--filter", sink).split()
    docker(lab.engine, "kill", identifier)
    try:
        during = look_at_lab(replace(lab, patience_seconds=5.0))
    finally:
        docker(lab.engine, "start", identifier)

    lines = differences(before, during)
    assert {"the containers are healthy", "the table grows", "containers that run"} <= {
        line.partition(":")[0] for line in lines
    }
    assert [] == differences(before, look_at_lab(lab))
