"""
What the page of success criteria is made from: a small JSON file that is committed.

Taken from the last complete run, the runs of `soak`, the marks of the tests and the repository.
Complete is a run that came to its end and ran every test of the core suite, whatever it found.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tools.e2e.collecting import Collected, core
from tools.e2e.coverage import Coverage
from tools.e2e.criteria import Criterion
from tools.e2e.runs import PASSED, Run
from tools.e2e.soaked import Soaked, reliability

SNAPSHOT: Final = Path("docs/phases/phase-7-e2e/measured.json")
NOT_RUN: Final = "not run"
_RESOURCES: Final = "resources."


class NoCompleteRunError(Exception):
    """No run has all tests of the core suite; the message says what to do."""


def take(
    runs: Sequence[Run],
    soaked: Sequence[Soaked],
    coverage: Coverage,
    criteria: Sequence[Criterion],
) -> dict[str, Any]:
    """
    The snapshot of all that is known now.

    Raises:
        NoCompleteRunError: There is nothing to take it from.
    """
    main = last_complete(runs, core(coverage.tests))
    if main is None or main.session is None:
        message = "no run has every test of the core suite: `make test-e2e` makes one"
        raise NoCompleteRunError(message)
    scenarios = [one for one in coverage.tests if one.is_scenario]
    beside = last_complete(runs, scenarios) if scenarios else None
    outcomes = {**(beside.outcomes if beside else {}), **main.outcomes}
    return {
        "run": main.run,
        "commit": main.commit,
        **{name: main.session.get(name) for name in ("seconds", "exit_code", "machine")},
        "scenarios": {"run": beside.run, "commit": beside.commit} if beside else None,
        "tests": {one.test: outcomes.get(one.test, NOT_RUN) for one in coverage.tests},
        "measured": _measured([one for one in (beside, main) if one]),
        "coverage": {path: _passed(coverage, path, outcomes) for path in coverage.paths},
        "kept": _kept(main, runs),
        "soak": _soak(soaked) if soaked else None,
        "files": {file: is_there(file) for one in criteria for file in one.files},
    }


def last_complete(runs: Iterable[Run], tests: Iterable[Collected]) -> Run | None:
    """The newest run that came to its end and ran each of *tests*."""
    wanted = {one.test for one in tests}
    whole = [run for run in runs if run.is_whole and run.ran(wanted)]
    return max(whole, key=lambda run: run.run, default=None)


def _passed(coverage: Coverage, path: str, outcomes: Mapping[str, str]) -> list[int]:
    """How many tests go through *path*, and how many of them passed."""
    tests = [one.test for one in (*coverage.on(path), *coverage.scenarios_on(path))]
    return [len(tests), sum(outcomes.get(test) == PASSED for test in tests)]


def is_there(file: str) -> bool:
    """Whether *file* is in the repository; ``file: text`` with that text in it."""
    name, _, text = file.partition(": ")
    path = Path(name)
    return path.is_file() and text in path.read_text(encoding="utf-8")


def _measured(runs: Iterable[Run]) -> dict[str, dict[str, float]]:
    """What the tests themselves measured, by node id; the later run wins."""
    found: dict[str, dict[str, float]] = {}
    for run in runs:
        for test in run.tests:
            figures = {
                name: value
                for name, value in test.measured.items()
                if not name.startswith(_RESOURCES)
            }
            if figures:
                found[test.test] = figures
    return found


def _kept(main: Run, runs: Sequence[Run]) -> dict[str, int]:
    names = [list(test.measured) for test in main.tests]
    return {
        "runs": len(runs),
        "figures": sum(len(one) for one in names),
        "resources": sum(any(name.startswith(_RESOURCES) for name in one) for one in names),
        "repairs": sum(len((run.session or {}).get("repairs", ())) for run in runs),
    }


def _soak(soaked: Sequence[Soaked]) -> dict[str, Any]:
    found = reliability(soaked)
    return {
        "from": soaked[0].start,
        "to": soaked[-1].start,
        "runs": [found.runs.good, found.runs.of],
        "tests": [found.tests.good, found.tests.of],
        "seconds": list(found.seconds),
        "commits": {name: [rate.good, rate.of] for name, rate in found.commits.items()},
    }


def load(file: Path = SNAPSHOT) -> dict[str, Any] | None:
    """The snapshot of *file*, where there is one."""
    if not file.exists():
        return None
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def save(snapshot: Mapping[str, Any], file: Path = SNAPSHOT) -> None:
    """Write *snapshot*."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(snapshot, indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")
