"""
The suite again and again, one JSON line a run in a file that adds up over sittings.

Rules: only runs that came to their own end are counted. Ctrl-C or SIGTERM puts the run at hand
down first: pytest gets one SIGINT, so that its cleanups put back what its tests broke, and is
waited for. What a run said is kept in ``journals/e2e/soak/`` where it was not green.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Final

import click

from tools.e2e import jsonlines
from tools.e2e.junit import Case, read_cases
from tools.e2e.origin import commit, now
from tools.e2e.soaked import SOAK, print_report, read_soak, told

SUITE: Final = ("tests/e2e", "-m", "e2e and not scenario")
LOGS: Final = Path("journals/e2e/soak")
OUTCOMES: Final = ("passed", "failed", "error", "skipped")
EXIT_INTERRUPTED: Final = 130
_NOTHING_TO_RUN: Final = {4, 5}
"""Pytest's own codes: used wrongly, and nothing collected."""
_REFUSED: Final = 2
"""The suite's own code where the pipeline file has mistakes: no run, and no use in another."""


class NothingToRunError(Exception):
    """Pytest was not able to begin."""


@dataclass
class Child:
    """The run at hand, and whether somebody wants it ended."""

    process: subprocess.Popen[bytes] | None = None
    is_unwanted: bool = False

    def end(self, number: int, _frame: FrameType | None) -> None:
        """The handler of signals: hand it on, and let the waiting go on."""
        self.is_unwanted = True
        name = signal.Signals(number).name
        sys.stderr.write(f"\n{name}: the run at hand puts back what it broke, then it is over\n")
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals while the block runs."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.end) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass(frozen=True)
class Soak:
    """
    One sitting.

    Attributes:
        file: Where a line a run goes.
        suite: What pytest is told to run.
    """

    file: Path = SOAK
    suite: Sequence[str] = SUITE
    child: Child = field(default_factory=Child)

    def run(self, runs: int) -> int:
        """Run the suite so often; exit code 0 when all runs were green, else 1, interrupted 130."""
        green = True
        with self.child.listening():
            for number in range(1, runs + 1):
                line = self._one()
                if line is None:
                    return EXIT_INTERRUPTED
                jsonlines.append(self.file, line)
                run = told(line)
                green &= run.is_green
                click.echo(f"{number}/{runs}  {run}")
        return 0 if green else 1

    def _one(self) -> dict[str, Any] | None:
        """One run as a line; nothing where it was interrupted."""
        start, began, load = now(), time.monotonic(), os.getloadavg()[0]
        log = LOGS / f"{start}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as folder:
            exit_code = self._pytest(Path(folder) / "junit.xml", log)
            if self.child.is_unwanted:
                return None
            cases = read_cases(Path(folder) / "junit.xml")
        if exit_code in _NOTHING_TO_RUN or (exit_code == _REFUSED and not cases):
            raise NothingToRunError(log.read_text(encoding="utf-8", errors="replace"))
        line: dict[str, Any] = {"start": start, "commit": commit()}
        line |= {"seconds": round(time.monotonic() - began, 1), "exit_code": exit_code}
        line |= {**_counts(cases), "failures": _failures(cases)}
        line |= {"reason": _last_line(log) if exit_code and not line["failures"] else ""}
        line |= {"load": [round(load, 2), round(os.getloadavg()[0], 2)]}
        if told(line).is_green:
            log.unlink()
        return line

    def _pytest(self, junit: Path, log: Path) -> int:
        """Run pytest apart from our terminal: Ctrl-C there must reach it once, through us."""
        options = ["-q", "-o", "junit_family=xunit1", f"--junitxml={junit}"]
        command = [sys.executable, "-m", "pytest", *self.suite, *options]
        with log.open("wb") as out:
            if self.child.is_unwanted:
                return EXIT_INTERRUPTED
            self.child.process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
            return self.child.process.wait()


def _counts(cases: Sequence[Case]) -> dict[str, int]:
    return {one: sum(case.outcome == one for case in cases) for one in OUTCOMES}


def _failures(cases: Sequence[Case]) -> list[dict[str, str]]:
    failed = [case for case in cases if case.outcome in {"failed", "error"}]
    return [{"test": case.test, "reason": case.reason} for case in failed]


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


@click.command("soak", short_help="Run the suite again and again; one line a run.")
@click.option("--runs", default=50, show_default=True, type=click.IntRange(min=1))
@click.option("--file", default=SOAK, show_default=True, type=click.Path(path_type=Path))
@click.argument("suite", nargs=-1)
def soak(runs: int, file: Path, suite: tuple[str, ...]) -> int:
    """
    Run the suite RUNS times more, add a line a run to the file, then print what all of it says.

    SUITE is what pytest is told; by default the core suite, tests/e2e without scenarios.
    """
    try:
        code = Soak(file, suite or SUITE).run(runs)
    except NothingToRunError as error:
        message = f"pytest had nothing to run:\n{error}"
        raise click.ClickException(message) from error
    if file.exists():
        print_report(*read_soak(file))
    return code
