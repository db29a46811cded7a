"""
Chaos Toolkit's traps: runs that upstream ends with exit code 0, or without a journal. None passes.

By the real command, in the interpreter that runs these tests and, where the machine has one, in one
with the other line of upstream (1.19 for Python 3.11, 1.21 from 3.12 on).
"""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k2chaos.system.engine import DockerRuntime
from tests.contract.desk import Desk, action, desk_at, experiment, probe
from tests.contract.upstream import CannotBeMade, other_line

BROKEN = """
calls = []

def first(otherwise):
    calls.append(otherwise)
    odd = {"none": None, "nan": float("nan"), "text": "twelve", "list": [1]}
    return 1 if len(calls) == 1 else odd[otherwise]

def fails(**_):
    raise RuntimeError("on purpose")
"""


@pytest.fixture(scope="session")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with the other line of upstream, with k2chaos and its pinned packages."""
    try:
        return str(other_line(tmp_path_factory.mktemp("other") / "venv"))
    except CannotBeMade as error:
        pytest.skip(str(error))


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
    desk.change_pipeline(budgets={"freshness_seconds": 8})  # that long twice it is waited for
    process = desk.start("run", desk.write())
    desk.until(lambda: desk.status() == "paused")
    with desk.market.lock:
        next_id = desk.market.exchange.last_ids["BTCUSDT"] + 1
        desk.market.swallow = {next_id}
    output, _ = process.communicate(timeout=120)

    assert 1 == process.returncode, output
    assert "promise-broken" in desk.codes()


def test_a_hypothesis_that_does_not_hold_during_the_method_fails(desk: Desk) -> None:
    """Upstream tests it again and again, keeps what it saw, and ends with exit code 0."""
    whole = hypothesis(probe("impaired_services", 0))
    runtime = {"hypothesis": {"strategy": "continuously"}, "rollbacks": {"strategy": "always"}}
    method = [action("pause", role="exchange", duration=4), action("await_recovery", deadline=20)]

    output = ends(
        desk,
        1,
        "budget-exceeded",
        **{"steady-state-hypothesis": whole, "runtime": runtime, "method": method},
    )

    assert "budget-exceeded: during the method, impaired_services: 1 is outside 0" in output
    assert {"budget-exceeded"} == desk.codes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_is_inconclusive_and_healed(desk: Desk, number: int) -> None:
    process = desk.start("run", desk.write(method=[action("pause", role="exchange", duration=60)]))
    desk.until(lambda: desk.status() == "paused")
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)

    assert 3 == process.returncode, output
    assert "running" == desk.status()
    assert "interrupted" in desk.codes()


@pytest.mark.parametrize("otherwise", ["none", "nan", "text", "list"])
def test_a_tolerance_that_crashes_after_the_method_leaves_no_pass(
    desk: Desk, otherwise: str
) -> None:
    """Upstream crashes, without a journal, or takes it for a value like any other."""
    odd = broken("first", {"type": "range", "range": [0, 100]})
    odd["provider"]["arguments"] = {"otherwise": otherwise}
    whole = hypothesis(probe("lost_records", 0, stage="api"), odd)

    changes: dict[str, Any] = {"steady-state-hypothesis": whole}
    code, output = desk.run(desk.write(**changes))

    assert code in {1, 3, 4}, output
    verdicts = [*(desk.folder / "journals").glob("*/verdict.json")]
    assert "pass" not in {json.loads(path.read_text())["verdict"] for path in verdicts}
    assert "running" == desk.status()
    assert "no run, and no fault is open" in desk.k2chaos("status").stdout


def test_a_journal_that_is_gone_is_inconclusive(desk: Desk) -> None:
    ends(desk, 0)
    (folder,) = {path.parent for path in (desk.folder / "journals").glob("*/verdict.json")}
    (folder / "journal.json").unlink()

    judged = desk.k2chaos("judge", str(folder))

    assert 3 == judged.returncode, judged.stdout
    assert "evidence-damaged" in judged.stdout
    assert json.loads((folder / "verdict.json").read_text())["verdict"] == "pass"


def test_evidence_is_the_same_until_somebody_touches_it(desk: Desk) -> None:
    ends(desk, 0)
    (folder,) = {path.parent for path in (desk.folder / "journals").glob("*/verdict.json")}
    untouched = desk.k2chaos("judge", str(folder))
    events = folder / "events.jsonl"
    told = events.read_text().splitlines(keepends=True)
    events.write_text("".join(line for line in told if '"activity"' not in line))

    judged = desk.k2chaos("judge", str(folder))

    assert "the same, byte for byte" in untouched.stdout
    assert 3 == judged.returncode, judged.stdout
    assert "events.jsonl: it was changed since the run ended" in " ".join(judged.stdout.split())


def test_what_upstream_passes_in_these_runs_is_an_experiment_like_any_other(desk: Desk) -> None:
    """The experiment that the others spoil does pass, in this very interpreter."""
    ends(desk, 0, method=experiment()["method"])
