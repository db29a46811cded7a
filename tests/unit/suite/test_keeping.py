"""The plug-in that keeps a session's metrics, in a session of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tools.e2e.runs import Run, read_runs

ROOT = Path(__file__).parents[3]

CONFTEST = """
import pytest
from pathlib import Path
from tests.e2e.keeping import KeepMetrics
from tests.e2e.metrics import MEASURED, RESOURCES, Measured, Recorder

def pytest_configure(config):
    keeps = KeepMetrics(Recorder("r", Path("metrics.jsonl"), "abc"))
    config.pluginmanager.register(keeps, "keep-metrics")

@pytest.fixture
def measured(request):
    found = Measured()
    request.node.stash[MEASURED] = found
    request.node.stash[RESOURCES] = {"kafka_mib": 5}
    return found
"""
TESTS = """
import pytest

@pytest.mark.e2e
def test_measures(measured):
    measured.values(seconds=1.5)

@pytest.mark.e2e
def test_fails():
    assert 1 == 2

@pytest.mark.e2e
@pytest.mark.scenario
def test_scenario():
    pass

def test_of_a_unit():
    pass
"""


def session(folder: Path, *options: str) -> list[Run]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  e2e: x\n  scenario: x\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True)
    return read_runs(folder / "metrics.jsonl")[0]


def test_every_end_to_end_test_that_ran_is_kept_and_the_session_after_them(tmp_path: Path) -> None:
    (run,) = session(tmp_path, "-m", "not scenario")

    assert {
        "test_it.py::test_measures": "passed",
        "test_it.py::test_fails": "failed",
    } == run.outcomes
    assert {"seconds": 1.5, "resources.kafka_mib": 5.0} == run.tests[0].measured
    assert "assert 1 == 2" == run.tests[1].reason
    assert run.session is not None
    assert (2, 3, 1) == tuple(run.session[one] for one in ("selected", "collected", "exit_code"))
    assert ["test_it.py"] == run.session["files"]
    assert run.is_whole


def test_nothing_is_kept_where_tests_are_only_collected(tmp_path: Path) -> None:
    assert [] == session(tmp_path, "--collect-only")


def test_nothing_is_kept_of_a_session_without_end_to_end_tests(tmp_path: Path) -> None:
    assert [] == session(tmp_path, "-m", "not e2e")
