"""Trends of the suite over its runs, for the terminal; ``--html`` draws them as well."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tools.e2e.criteria import shown
from tools.e2e.report_html import html
from tools.e2e.runs import METRICS, Run, read_runs
from tools.e2e.trends import Record, Series, durations, measurements, records, resources, sessions

_SIGNS: Final = {
    "passed": "[green]·[/]",
    "failed": "[bold red]F[/]",
    "error": "[bold red]E[/]",
    "skipped": "[yellow]s[/]",
    None: " ",
}
_SLOWEST: Final = 10


@click.command("report", short_help="Trends of durations, measurements and outcomes over runs.")
@click.option("--file", default=METRICS, show_default=True, type=click.Path(path_type=Path))
@click.option("--last", default=20, show_default=True, type=click.IntRange(min=1), help="Runs.")
@click.option("--html", "page", type=click.Path(path_type=Path), help="Draw them into this file.")
def report(file: Path, last: int, page: Path | None) -> int:
    """Tell how the suite does over its last runs. Exit code 2: there is no run."""
    runs, remarks = read_runs(file)
    console = Console(highlight=False)
    for remark in remarks:
        console.print(remark, style="yellow", markup=False)
    if not runs:
        click.echo(f"{file} has no run yet: `make test-e2e` makes one", err=True)
        return 2
    print_trends(console, runs[-last:])
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(html(runs[-last:]), encoding="utf-8")
        console.print(f"{page} is written", markup=False)
    return 0


def print_trends(console: Console, runs: Sequence[Run]) -> None:
    """All of it."""
    newest = runs[-1]
    console.print(f"[bold]{len(runs)} runs[/], {runs[0].run} to {newest.run}")
    killed = sum(not run.is_whole for run in runs)
    if killed:
        console.print(f"{killed} of them were killed or interrupted", style="yellow")
    console.print(_trends("Sessions", sessions(runs)))
    measured = measurements(runs)
    console.print(_trends("Measurements", measured) if measured else "no test measured anything")
    if used := resources(runs):
        console.print(_trends("Resources", used))
    console.print(_trends(f"Slowest tests ({_SLOWEST})", durations(runs)[:_SLOWEST]))
    _print_outcomes(console, records(runs))


def _trends(title: str, series: Sequence[Series]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    # Narrow: in a small terminal the trend would lose its newest runs.
    table.add_column("", min_width=20)
    for name in ("last", "median", "min", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("trend", no_wrap=True)
    group = ""
    for one in series:
        if one.group != group and one.name != "seconds":
            table.add_row(f"[bold]{escape(one.group)}[/]")
        group = one.group
        name = one.group if one.name == "seconds" else f"  {one.name}"
        least, most = min(one.values), max(one.values)
        figures = [shown(value) for value in (one.last, one.median, least, most)]
        table.add_row(escape(name), *figures, one.sparkline)
    return table


def _print_outcomes(console: Console, found: Sequence[Record]) -> None:
    green = sum(not one.failures for one in found)
    console.print(f"[bold]Outcomes[/]: {green} of {len(found)} tests never failed")
    table = Table("runs", "failed", "test and last reason", box=None, pad_edge=False)
    for one in found:
        if one.failures:
            ran = sum(outcome is not None for outcome in one.outcomes)
            signs = "".join(_SIGNS.get(outcome, "?") for outcome in one.outcomes)
            kind = "flaky" if one.is_flaky else "never passed"
            times = f"{one.failures} of {ran}, {kind}"
            table.add_row(signs, times, escape(f"{one.test}\n{one.reason}"))
    if table.row_count:
        console.print(table)
