"""The table at the end: one row per experiment, then why each one that did not pass did not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from k2chaos.launch.outcome import Outcome, Word

_STYLES: Final[dict[Word, str]] = {
    "pass": "bold green",
    "fail": "bold red",
    "inconclusive": "bold yellow",
    "usage": "bold magenta",
    "crashed": "bold white on red",
}
_PLAIN_WIDTH: Final = 200
_CLAIM_LENGTH: Final = 120
_REASONS_SHOWN: Final = 5


def print_summary(outcomes: Sequence[Outcome], output: TextIO) -> None:
    """Print the table; without colours, lines unbroken, where *output* is no terminal."""
    console = Console(file=output, width=None if output.isatty() else _PLAIN_WIDTH, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("experiment", overflow="fold")
    table.add_column("verdict")
    for heading in ("lost", "duplicated", "stalest", "took"):
        table.add_column(heading, justify="right")
    for outcome in outcomes:
        table.add_row(
            escape(outcome.name),
            f"[{_STYLES[outcome.word]}]{outcome.word}[/]",
            _count(outcome.lost),
            _count(outcome.duplicated),
            _seconds(outcome.stalest),
            _seconds(outcome.seconds),
        )
    console.print()
    console.print(table)
    for outcome in outcomes:
        _print_details(outcome, console)


def _print_details(outcome: Outcome, console: Console) -> None:
    console.print()
    console.print(
        f"[bold]{escape(outcome.name)}[/]: {escape(_short(outcome.claim))}", soft_wrap=True
    )
    for reason in outcome.reasons[:_REASONS_SHOWN]:
        console.print(f"  {escape(f'{reason.code}: {reason.text}')}", soft_wrap=True)
    if len(outcome.reasons) > _REASONS_SHOWN:
        more = len(outcome.reasons) - _REASONS_SHOWN
        console.print(f"  and for {more} more reasons, in verdict.json")
    if outcome.folder:
        console.print(f"  {escape(_from_here(outcome.folder))}", soft_wrap=True)


def _from_here(folder: str) -> str:
    path, here = Path(folder), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _short(claim: str) -> str:
    line = " ".join(claim.split())
    return line if len(line) <= _CLAIM_LENGTH else f"{line[: _CLAIM_LENGTH - 3]}..."


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
