"""
What the tests measured, kept over runs: ``journals/e2e/metrics.jsonl``.

One JSON line a test, written when its teardown is over, and one a session, written at its end: a
session without that line was killed. Times are aware UTC (``Z``), durations are seconds; other
units are in the names. `tools.e2e.runs` reads it.
"""

import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pytest

from tools.e2e.jsonlines import append
from tools.e2e.origin import now

FILE: Final = Path("journals/e2e/metrics.jsonl")
_GIBI = 1 << 30


@dataclass
class Measured:
    """The measurements of one test; units are in the names."""

    found: dict[str, float] = field(default_factory=dict)

    def values(self, **measurements: float) -> None:
        """Keep single figures."""
        self.found |= {name: round(float(value), 4) for name, value in measurements.items()}

    def marks(self, name: str, values: Sequence[float]) -> dict[str, float]:
        """Keep the distribution of *values*; returns it."""
        p50, p95, p99, most = np.percentile(values, [50, 95, 99, 100])
        marks = {"mean": float(np.mean(values)), "p50": p50, "p95": p95, "p99": p99, "max": most}
        marks = {mark: float(value) for mark, value in marks.items()}
        self.values(**{f"{name}.{mark}": value for mark, value in marks.items()})
        return marks


MEASURED: Final = pytest.StashKey[Measured]()
"""Where a test's item carries its figures until they are written."""
RESOURCES: Final = pytest.StashKey[dict[str, Any]]()
"""Where a test's item carries what the services used meanwhile."""


class Report(Protocol):
    """What is read of pytest's report on one phase of a test."""

    nodeid: str
    duration: float

    @property
    def when(self) -> str | None:
        """``setup``, ``call`` or ``teardown``."""

    @property
    def outcome(self) -> str:
        """``passed``, ``failed`` or ``skipped``."""

    @property
    def longreprtext(self) -> str:
        """Why it failed."""


@dataclass(frozen=True)
class Repair:
    """What the suite had to put right before a test could be run."""

    at: str
    before_test: str
    trouble: str
    repair: str
    seconds: float


@dataclass(frozen=True)
class Selection:
    """What a session was asked to run: tests, and all that the same files hold."""

    selected: int
    collected: int
    files: Sequence[str]


class Recorder:
    """
    Writes the lines of one session.

    Attributes:
        run: ISO start of the session, which names it.
        engine: Version of the container engine, as soon as somebody knows it.
        repairs: What had to be put right so far.
    """

    def __init__(self, run: str, file: Path = FILE, commit: str | None = None) -> None:
        self.run = run
        self.engine: str | None = None
        self._file = file
        self._commit = commit
        self._phases: dict[str, dict[str, Report]] = {}
        self.repairs: list[Repair] = []

    def test(
        self,
        report: Report,
        measured: Mapping[str, float] | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> None:
        """Take note of one phase; the last of them, the teardown, writes the test's line."""
        phases = self._phases.setdefault(report.nodeid, {})
        phases[report.when or ""] = report
        if report.when == "teardown":
            del self._phases[report.nodeid]
            line = _of_test(phases)
            line |= {"measured": dict(measured or {}), "resources": dict(resources or {})}
            append(self._file, {"run": self.run, "commit": self._commit, "at": now(), **line})

    def repair(self, before_test: str, trouble: str, repair: str, seconds: float) -> None:
        """Take note of what had to be put right; it stands in the session's line."""
        self.repairs.append(Repair(now(), before_test, trouble, repair, round(seconds, 2)))

    def session(self, seconds: float, exit_code: int, selection: Selection) -> None:
        """Write the session's line: it was not killed."""
        session = {
            "seconds": round(seconds, 2),
            "exit_code": exit_code,
            **asdict(selection),
            "repairs": [asdict(one) for one in self.repairs],
            "machine": _machine() | {"engine": self.engine},
        }
        append(self._file, {"run": self.run, "commit": self._commit, "session": session})


def _of_test(phases: Mapping[str, Report]) -> dict[str, Any]:
    """A test's outcome over its phases; an error is a failure outside of its call."""
    failed = [when for when, report in phases.items() if report.outcome == "failed"]
    line: dict[str, Any] = {"test": next(iter(phases.values())).nodeid}
    if failed:
        line["outcome"] = "failed" if "call" in failed else "error"
        line["reason"] = _reason(phases["call" if "call" in failed else failed[0]])
    else:
        skipped = any(report.outcome == "skipped" for report in phases.values())
        line["outcome"] = "skipped" if skipped else "passed"
    for when, name in (("call", "seconds"), ("setup", "setup_seconds")):
        line[name] = _seconds(phases, when)
    return line | {"teardown_seconds": _seconds(phases, "teardown")}


def _seconds(phases: Mapping[str, Report], when: str) -> float:
    return round(phases[when].duration, 3) if when in phases else 0.0


def _reason(report: Report) -> str:
    """What failed, in one line: pytest marks the error's own lines with an E."""
    # Of errors that led to one another the last one counts.
    last = re.split(r"\n(?:During handling of|The above exception was)", report.longreprtext)[-1]
    lines = last.splitlines()
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    return (marked or lines or [""])[0][:300]


def _machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / _GIBI, 1),
        "python": platform.python_version(),
    }
