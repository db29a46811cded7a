"""What many runs of the suite say of its reliability (`soak` writes the file)."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tools.e2e import jsonlines
from tools.e2e.intervals import Rate
from tools.e2e.trends import sentence

SOAK: Final = Path("docs/phases/phase-7-e2e/soak.jsonl")
"""In the repository, so that runs add up over sittings and machines."""
_SHOWN: Final = 3
"""So many failures of a run, and three times as many flaky tests, are told."""
_KEYS: Final = {"start", "seconds", "exit_code", "passed", "failed", "error", "skipped"}


@dataclass(frozen=True)
class Soaked:
    """
    One run of the suite.

    Attributes:
        failures: Of each test that did not pass, its node id and a one-line reason.
        reason: Why it ended badly where no test did.
        load: The machine's load average of a minute, before and after.
    """

    start: str
    commit: str | None
    seconds: float
    exit_code: int
    counts: Mapping[str, int]
    failures: tuple[tuple[str, str], ...]
    reason: str
    load: tuple[float, ...]

    @property
    def is_green(self) -> bool:
        """Whether it shows that the suite passes: tests ran, all of them, and none failed."""
        return self.exit_code == 0 and self.counts["passed"] > 0 and not self.counts["skipped"]

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items() if count)
        why = [f"{test.split('::')[-1]}: {reason}" for test, reason in self.failures[:_SHOWN]]
        if len(self.failures) > _SHOWN:
            why.append(f"and {len(self.failures) - _SHOWN} more")
        return (
            f"{self.start}  {'green' if self.is_green else 'NOT GREEN'}  "
            f"{counts or 'no test ran'} in {self.seconds:.0f} s, load {self.load[-1]:.1f}"
            + "".join(f"\n      {one}" for one in why or [self.reason] if one)
        )


@dataclass(frozen=True)
class Reliability:
    """What all runs together say."""

    runs: Rate
    tests: Rate
    seconds: tuple[float, float, float]
    flaky: tuple[tuple[str, int, tuple[str, ...]], ...]
    commits: Mapping[str, Rate]


def told(line: Mapping[str, Any]) -> Soaked:
    """The run that *line* tells of."""
    return Soaked(
        line["start"],
        line.get("commit"),
        float(line["seconds"]),
        int(line["exit_code"]),
        {name: int(line[name]) for name in ("passed", "failed", "error", "skipped")},
        tuple((one["test"], one["reason"]) for one in line.get("failures", ())),
        line.get("reason", ""),
        tuple(line.get("load", (0.0,))),
    )


def read_soak(file: Path = SOAK) -> tuple[list[Soaked], list[str]]:
    """Every run of *file*, and remarks on lines that are none."""
    lines, remarks = jsonlines.read(file)
    whole = [line for line in lines if line.keys() >= _KEYS]
    if len(whole) < len(lines):
        remarks.append(f"{file}: {len(lines) - len(whole)} lines are no runs: skipped")
    return [told(line) for line in whole], remarks


def reliability(runs: Sequence[Soaked]) -> Reliability:
    """All *runs* (at least one) together; what was skipped is neither passed nor failed."""
    passed = sum(run.counts["passed"] for run in runs)
    failed = sum(run.counts["failed"] + run.counts["error"] for run in runs)
    seconds = [run.seconds for run in runs]
    commits = {run.commit or "unknown": None for run in runs}
    return Reliability(
        _green(runs),
        Rate(passed, passed + failed),
        (statistics.median(seconds), min(seconds), max(seconds)),
        tuple(_flaky(runs)),
        {one: _green([run for run in runs if (run.commit or "unknown") == one]) for one in commits},
    )


def _green(runs: Sequence[Soaked]) -> Rate:
    return Rate(sum(run.is_green for run in runs), len(runs))


def _flaky(runs: Sequence[Soaked]) -> list[tuple[str, int, tuple[str, ...]]]:
    """Tests that failed, most often first, with their reasons, the most frequent first."""
    reasons: dict[str, Counter[str]] = {}
    for run in runs:
        for test, reason in run.failures:
            reasons.setdefault(test, Counter())[reason] += 1
    found = [
        (test, counter.total(), tuple(f"{count} x {one}" for one, count in counter.most_common()))
        for test, counter in reasons.items()
    ]
    return sorted(found, key=lambda one: (-one[1], one[0]))


def print_report(runs: Sequence[Soaked], remarks: Sequence[str]) -> None:
    """Tell people."""
    console = Console(highlight=False, soft_wrap=True)
    for remark in remarks:
        console.print(remark, style="yellow", markup=False)
    if not runs:
        return
    found = reliability(runs)
    median, least, most = found.seconds
    console.print(f"[bold]{len(runs)} runs[/], {runs[0].start} to {runs[-1].start}")
    console.print(f"  runs green    {found.runs}")
    console.print(f"  tests x runs  {found.tests}, as if each were independent")
    console.print(f"  a run takes   {median:.0f} s median, {least:.0f} to {most:.0f} s")
    for commit, rate in found.commits.items():
        console.print(f"  commit {commit}: {rate.good} of {rate.of} runs green", markup=False)
    if found.flaky:
        console.print(_table(found))


def _table(found: Reliability) -> Table:
    title = f"Flakiest of {len(found.flaky)} tests that failed"
    table = Table("failed", "test, and reasons", title=title, title_justify="left", box=None)
    for test, count, reasons in found.flaky[: 3 * _SHOWN]:
        table.add_row(str(count), escape("\n  ".join([sentence(test), *reasons])))
    return table


@click.command("soak-report", short_help="What the runs of `soak` say of the suite's reliability.")
@click.option("--file", default=SOAK, show_default=True, type=click.Path(path_type=Path))
def soak_report(file: Path) -> int:
    """Pass rates with their confidence intervals, times, flakiest tests. Exit code 2: no runs."""
    runs, remarks = read_soak(file)
    print_report(runs, remarks)
    if not runs:
        click.echo(f"{file} has no run yet: `make e2e-soak RUNS=1` makes one", err=True)
        return 2
    return 0
