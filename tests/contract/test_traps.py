"""
Chaos Toolkit's traps: runs that upstream ends with exit code 0, or without a journal. None passes.

By the real command, in the interpreter that runs these tests and, where the machine has one, in one
with the other line of upstream (1.19 for Python 3.11, 1.21 from 3.12 on).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k2chaos.system.engine import DockerRuntime
from tests.contract.desk import Desk, action, desk_at, experiment, nap, probe

ROOT = Path(__file__).parents[2]
OTHERS = ("python3.13", "python3.12", "python3.11")
"""Looked for in this order; what runs these tests is left out."""

BROKEN = """
def none():
    return None

def nan():
    return float("nan")

def text():
    return "twelve"

def number():
    number.calls = getattr(number, "calls", 0) + 1
    return number.calls

def fails(**_):
    raise RuntimeError("on purpose")
"""


def _other_interpreter() -> str | None:
    """An interpreter whose upstream is of the other line, or nothing."""
    is_new = sys.version_info >= (3, 12)
    for name in OTHERS:
        minor = int(name.rpartition(".")[2])
        if (minor >= 12) != is_new:
            for found in (shutil.which(name), *map(str, _pyenv(minor))):
                if found and _runs(found):
                    return found
    return None


def _pyenv(minor: int) -> list[Path]:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return sorted(root.glob(f"versions/3.{minor}.*/bin/python"), reverse=True)


def _runs(interpreter: str) -> bool:
    tried = subprocess.run([interpreter, "-c", "import venv"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.fixture(scope="session")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The other interpreter, with k2chaos and its pinned packages installed."""
    interpreter = _other_interpreter()
    if interpreter is None:
        pytest.skip("this machine has no interpreter for upstream's other line")
    folder = tmp_path_factory.mktemp("other") / "venv"
    made = subprocess.run(
        [interpreter, "tools/environment.py", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return str(folder / "bin" / "python")


@pytest.fixture(params=["this", "other"])
def desk(request: pytest.FixtureRequest, tmp_path: Path, engine: DockerRuntime) -> Iterator[Desk]:
    """A desk in one interpreter, then in the other."""
    python = sys.executable
    if request.param == "other":
        python = request.getfixturevalue("other_python")
    with desk_at(tmp_path, engine) as desk:
        desk.python = python
        desk.has_module("broken", BROKEN)
        yield desk


def broken(func: str, tolerance: Any = None) -> dict[str, Any]:
    """A probe of the experiment's own; an action, where it has no tolerance."""
    provider = {"type": "python", "module": "broken", "func": func}
    if tolerance is None:
        return {"type": "action", "name": func, "provider": provider}
    return {"type": "probe", "name": func, "tolerance": tolerance, "provider": provider}


def hypothesis(*probes: dict[str, Any]) -> dict[str, Any]:
    return {"title": "All is well", "probes": list(probes)}


def ends(desk: Desk, code: int, *reasons: str, **changes: Any) -> str:
    """Run the experiment with *changes*, and see that it ends with that code for those reasons."""
    found, output = desk.run(desk.write(**changes))
    assert code == found, output
    assert {*reasons} <= desk.codes(), output
    assert "running" == desk.status(), "nothing stays broken"
    return output


def test_a_baseline_that_was_not_met_is_inconclusive(desk: Desk) -> None:
    unmet = hypothesis(probe("lost_records", 7, stage="api"))

    ends(desk, 3, "baseline-unmet", "fault-not-injected", **{"steady-state-hypothesis": unmet})


def test_an_action_that_raises_is_inconclusive(desk: Desk) -> None:
    method = [action("pause", role="exchange", duration=1), broken("fails")]

    ends(desk, 3, "activity-failed", method=method)


def test_a_rollback_that_raises_is_inconclusive(desk: Desk) -> None:
    ends(desk, 3, "activity-failed", rollbacks=[broken("fails")])


def test_a_deviation_in_the_middle_of_the_method_alone_never_passes_unseen(desk: Desk) -> None:
    """Upstream ignores tolerances inside the method: the record is missing all the same."""
    process = desk.start("run", desk.write())
    desk.until(lambda: desk.status() == "paused")
    with desk.market.lock:
        next_id = desk.market.exchange.last_ids["BTCUSDT"] + 1
        desk.market.swallow = {next_id}
    output, _ = process.communicate(timeout=120)

    assert 1 == process.returncode, output
    assert "promise-broken" in desk.codes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_is_inconclusive_and_healed(desk: Desk, number: int) -> None:
    process = desk.start("run", desk.write(method=[action("pause", role="exchange", duration=60)]))
    desk.until(lambda: desk.status() == "paused")
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)

    assert 3 == process.returncode, output
    assert "running" == desk.status()
    assert "interrupted" in desk.codes()


@pytest.mark.parametrize("func", ["none", "nan", "text"])
def test_a_tolerance_that_crashes_leaves_no_pass(desk: Desk, func: str) -> None:
    """Upstream ends without a journal where an after-probe returns what a range cannot hold."""
    odd = broken(func, {"type": "range", "range": [0, 100]})
    changes: dict[str, Any] = {
        "steady-state-hypothesis": hypothesis(probe("lost_records", 0, stage="api"), odd),
        "method": [nap(0.1)],
    }
    code, output = desk.run(desk.write(**changes))

    assert code in {2, 3, 4}, output


def test_a_journal_that_is_gone_is_inconclusive(desk: Desk) -> None:
    ends(desk, 0)
    (folder,) = {path.parent for path in (desk.folder / "journals").glob("*/verdict.json")}
    (folder / "journal.json").unlink()

    judged = desk.k2chaos("judge", str(folder))

    assert 3 == judged.returncode, judged.stdout
    assert "evidence-damaged" in judged.stdout
    assert json.loads((folder / "verdict.json").read_text())["verdict"] == "pass"


def test_what_upstream_passes_in_these_runs_is_an_experiment_like_any_other(desk: Desk) -> None:
    """The experiment that the others spoil does pass, in this very interpreter."""
    ends(desk, 0, method=experiment()["method"])
