"""One bug after the other, a row each; exit code 1 where one was not found."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tools.bugs.expected import ROOT, Expected, Row, compare, read_expected
from tools.bugs.lab import LabTroubleError, bring_up, make_ready, run_experiment


def main(words: Sequence[str]) -> int:
    """Try those that are asked for, or all."""
    known = read_expected()
    asked = [name for word in words for name in word.split(",") if name]
    if unknown := [name for name in asked if name not in known]:
        print(f"no such bug: {', '.join(unknown)}; there are {', '.join(known)}")
        return 2
    folder = Path(os.environ.get("K2CHAOS_JOURNALS", ROOT / "journals")) / "bugs"
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [known[name] for name in asked or known]
    rows, progress = [], Console(stderr=True)
    try:
        for row in track(_tried(chosen, folder), "bugs", len(chosen), console=progress):
            rows.append(row)
            print(" | ".join(_cells(row)), flush=True)  # at once: all of them take long
    finally:
        is_clean = _take_away(folder)
    Console(width=160).print(_table(rows))
    missed = [row.expected.name for row in rows if not row.found]
    print(f"{len(rows) - len(missed)} of {len(rows)} bugs found; runs and logs: {folder}")
    return 0 if is_clean and not missed else 1


def _take_away(folder: Path) -> bool:
    """Leave a lab without bugs, whatever happened; whether it is one."""
    print("taking the last bug away", flush=True)
    with (folder / "up.log").open("w", encoding="utf-8") as log:
        try:
            bring_up("", log)
        except (LabTroubleError, subprocess.SubprocessError) as error:
            print(f"THE LAB MAY STILL HAVE IT: {error}; run `k2chaos lab up`", flush=True)
            return False
    return True


def _tried(chosen: Sequence[Expected], folder: Path) -> Iterator[Row]:
    for expected in chosen:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
        with (folder / f"{stamp}-{expected.name}.log").open("w", encoding="utf-8") as log:
            try:
                bring_up(expected.name, log)
                make_ready(expected, log)
                verdict = run_experiment(expected, folder, log)
            except (LabTroubleError, subprocess.SubprocessError) as error:
                yield Row(expected, "not run", str(error))
            else:
                yield compare(expected, verdict)


def _table(rows: Sequence[Row]) -> Table:
    drawn = Table("bug", "experiment", "verdict", "finding", "count", "as expected?")
    for row in rows:
        drawn.add_row(*_cells(row))
    return drawn


def _cells(row: Row) -> tuple[str, ...]:
    count = "" if row.count is None else f"{row.count:,}"
    as_expected = "yes" if row.found else f"NO, expected: {row.expected.words}"
    expected = row.expected
    return expected.name, expected.experiment, row.verdict, row.finding, count, as_expected


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
