"""
The suite's runs as its metrics tell them (`tests/e2e/metrics.py` writes the lines).

Rules: a run is every line of one session; one without a session's line was killed. A figure that
is no finite number was not measured.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tools.e2e import jsonlines

METRICS: Final = Path("journals/e2e/metrics.jsonl")
PASSED: Final = "passed"


@dataclass(frozen=True)
class Line:
    """
    How one test ended in one run.

    Attributes:
        test: Its node id.
        outcome: ``passed``, ``failed``, ``skipped`` or ``error`` (outside of its call).
        seconds: Of its call; those of its setup and teardown stand beside.
        measured: Figures by name, units in the names.
    """

    test: str
    outcome: str
    seconds: float
    setup_seconds: float = 0.0
    teardown_seconds: float = 0.0
    reason: str = ""
    measured: Mapping[str, float] = field(default_factory=dict)

    @property
    def whole_seconds(self) -> float:
        """Setup, call and teardown."""
        return self.setup_seconds + self.seconds + self.teardown_seconds


@dataclass(frozen=True)
class Run:
    """
    One session.

    Attributes:
        run: ISO start, which names it.
        session: What its last line tells; nothing where it was killed.
    """

    run: str
    commit: str | None
    tests: tuple[Line, ...]
    session: Mapping[str, Any] | None

    @property
    def outcomes(self) -> dict[str, str]:
        """Outcome by node id."""
        return {one.test: one.outcome for one in self.tests}

    @property
    def is_whole(self) -> bool:
        """Whether it came to its end with all that was selected; neither killed nor interrupted."""
        return self.session is not None and len(self.tests) >= int(self.session["selected"])

    def ran(self, tests: Iterable[str]) -> bool:
        """Whether each of *tests* was run."""
        return set(tests) <= self.outcomes.keys()


def read_runs(file: Path = METRICS) -> tuple[list[Run], list[str]]:
    """The runs of *file* by their start, and remarks on what could not be read."""
    lines, remarks = jsonlines.read(file)
    by_run: dict[str, list[dict[str, Any]]] = {}
    unknown = 0
    for line in lines:
        if isinstance(line.get("run"), str) and ("session" in line or "test" in line):
            by_run.setdefault(line["run"], []).append(line)
        else:
            unknown += 1
    if unknown:
        remarks.append(f"{file}: {unknown} lines belong to no run: skipped")
    return [_run(name, by_run[name]) for name in sorted(by_run)], remarks


def _run(name: str, lines: list[dict[str, Any]]) -> Run:
    sessions = [line["session"] for line in lines if "session" in line]
    tests = tuple(_test(line) for line in lines if "test" in line)
    return Run(name, lines[0].get("commit"), tests, sessions[-1] if sessions else None)


def _test(line: Mapping[str, Any]) -> Line:
    measured = dict(_figures("", line.get("measured") or {}))
    measured |= dict(_figures("resources.", line.get("resources") or {}))
    return Line(
        line["test"],
        line["outcome"],
        float(line.get("seconds") or 0),
        float(line.get("setup_seconds") or 0),
        float(line.get("teardown_seconds") or 0),
        line.get("reason", ""),
        measured,
    )


def _figures(prefix: str, found: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The finite numbers of *found*, however deep, each by its dotted name."""
    for name, value in found.items():
        if isinstance(value, Mapping):
            yield from _figures(f"{prefix}{name}.", value)
        elif type(value) in {int, float} and math.isfinite(value):
            yield f"{prefix}{name}", float(value)
