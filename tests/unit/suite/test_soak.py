"""Runs of a small suite in processes of their own: what is counted, and how they are ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.e2e.soaked import Soaked, read_soak

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 30.0

MIXED = """
import pytest

class TestOne:
    @pytest.mark.parametrize("word", ["a.b", "c"])
    def test_of_a_class(self, word):
        pass

def test_fails():
    assert 1 == 2

@pytest.fixture
def broken():
    raise RuntimeError("no engine")

def test_error(broken):
    pass

@pytest.fixture
def bad_end():
    yield
    assert False, "left over"

def test_passes_and_ends_badly(bad_end):
    pass

def test_skipped():
    pytest.skip("not here")
"""
SLOW = """
import time, pathlib, pytest

@pytest.fixture
def broken():
    pathlib.Path("broken").touch()
    yield
    time.sleep(0.3)
    pathlib.Path("healed").touch()

def test_slow(broken):
    if pathlib.Path("quick").exists():
        return
    pathlib.Path("quick.next").touch()
    time.sleep(60)
"""


def start(folder: Path, suite: str, runs: int = 1) -> subprocess.Popen[str]:
    if suite:
        (folder / "test_it.py").write_text(suite)
    command = [sys.executable, "-m", "tools.e2e", "soak", "--runs", str(runs), "--file", "s.jsonl"]
    return subprocess.Popen(
        [*command, "--", "test_it.py", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def runs_of(folder: Path) -> list[Soaked]:
    return read_soak(folder / "s.jsonl")[0]


def await_file(path: Path) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while not path.exists():
        assert time.monotonic() < until, f"{path} never came"
        time.sleep(0.02)


def test_every_test_is_counted_once_by_its_worst_outcome(tmp_path: Path) -> None:
    process = start(tmp_path, MIXED)
    said, _ = process.communicate(timeout=DEADLINE_SECONDS)

    (run,) = runs_of(tmp_path)
    assert {"passed": 2, "failed": 1, "error": 2, "skipped": 1} == run.counts
    assert {
        "test_it.py::test_fails",
        "test_it.py::test_error",
        "test_it.py::test_passes_and_ends_badly",
    } == {test for test, _ in run.failures}
    assert 1 == process.returncode == run.exit_code
    assert "assert 1 == 2" in dict(run.failures)["test_it.py::test_fails"]
    assert "NOT GREEN" in said
    assert 1 == len(list((tmp_path / "journals/e2e/soak").glob("*.log")))


def test_runs_add_up_over_sittings(tmp_path: Path) -> None:
    # Ctrl-C in a terminal goes to a whole group: pytest must hear of it once, from us.
    apart = "os.getpgid(0) != os.getpgid(os.getppid())"
    suite = f"import os\n\ndef test():\n    assert {apart}\n"

    first, _ = start(tmp_path, suite, runs=2).communicate(timeout=DEADLINE_SECONDS)
    second = start(tmp_path, suite)
    said, _ = second.communicate(timeout=DEADLINE_SECONDS)

    assert 0 == second.returncode
    assert "2/2" in first
    assert [True] * 3 == [run.is_green for run in runs_of(tmp_path)]
    assert "3 of 3 = 100.00 %" in said
    assert [] == list((tmp_path / "journals/e2e/soak").glob("*.log"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_run_clean_up_and_does_not_count_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "quick").touch()
    process = start(tmp_path, SLOW, runs=100)
    await_file(tmp_path / "s.jsonl")
    (tmp_path / "quick").unlink()
    await_file(tmp_path / "quick.next")
    (tmp_path / "healed").unlink(missing_ok=True)

    process.send_signal(number)
    said, _ = process.communicate(timeout=DEADLINE_SECONDS)

    assert 130 == process.returncode
    assert (tmp_path / "healed").exists()
    assert runs_of(tmp_path)
    assert all(run.is_green for run in runs_of(tmp_path))
    assert "puts back what it broke" in said


def test_a_suite_that_cannot_begin_is_no_run(tmp_path: Path) -> None:
    process = start(tmp_path, "")
    said, _ = process.communicate(timeout=DEADLINE_SECONDS)

    assert 2 == process.returncode
    assert "file or directory not found" in said
    assert [] == runs_of(tmp_path)


def test_a_run_that_ended_before_any_test_says_why(tmp_path: Path) -> None:
    suite = "import pytest\n\ndef test():\n    pytest.exit('the lab cannot be tested', 1)\n"
    start(tmp_path, suite).communicate(timeout=DEADLINE_SECONDS)

    (run,) = runs_of(tmp_path)
    assert not run.is_green
    assert "the lab cannot be tested" in run.reason


def test_a_suite_that_refuses_the_pipeline_file_is_no_run_either(tmp_path: Path) -> None:
    refusal = "import pytest\n\ndef pytest_collection_finish():\n    pytest.exit('3 mistakes', 2)\n"
    (tmp_path / "conftest.py").write_text(refusal)
    suite = "def test():\n    pass\n"

    process = start(tmp_path, suite, runs=3)
    told, _ = process.communicate(timeout=DEADLINE_SECONDS)

    assert 2 == process.returncode
    assert "3 mistakes" in told
    assert not (tmp_path / "s.jsonl").exists()
