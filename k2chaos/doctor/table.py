"""The doctor's rows for people, and as JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final, TextIO

from rich.console import Console
from rich.markup import escape

from k2chaos.doctor import Check, Word, exit_code, failed

_STYLES: Final[dict[Word, str]] = {
    "ok": "green",
    "note": "cyan",
    "missing": "bold red",
    "unseen": "bold yellow",
    "mistake": "bold red",
}


def print_checks(checks: Sequence[Check], output: TextIO) -> None:
    """One line per row, what to do below it, and one line that sums up."""
    console = Console(file=output, highlight=False)
    width = max(len(check.name) for check in checks)
    for check in checks:
        word = f"[{_STYLES[check.word]}]{check.word:<8}[/]"
        name = escape(f"{check.name:<{width}}")
        console.print(f"{word} {name}  {escape(check.seen)}", soft_wrap=True)
        if check.advice:
            console.print(f"{'':<8} {'':<{width}}  -> {escape(check.advice)}", soft_wrap=True)
    wrong = len(failed(checks))
    console.print()
    console.print("all that a run needs is there" if not wrong else f"{wrong} to be repaired")


def print_json(checks: Sequence[Check], output: TextIO) -> None:
    """The same as one JSON document."""
    document = {
        "schema": 1,
        "exit_code": exit_code(checks),
        "checks": [asdict(check) for check in checks],
    }
    output.write(json.dumps(document, indent=2) + "\n")
