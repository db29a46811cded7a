"""The long form: so many trials, a table, and exit code 1 where anything was left."""

import itertools
import random
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from k2chaos.system.engine.address import engine_address
from tools.residue import oracle
from tools.residue.boundaries import BOUNDARIES
from tools.residue.trials import Result, project_name, run_trial
from tools.residue.victim import KINDS, Trial

AT_ONCE: Final = 3
DEFAULT_TRIALS: Final = 1000


def main(words: Sequence[str]) -> int:
    """Run them and print what was left."""
    count = int(words[0]) if words else DEFAULT_TRIALS
    engine = engine_address()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = pool.map(run_trial, itertools.islice(trials(engine), count))
        shown = track(running, "trials", count, console=Console(stderr=True))
        results = [*shown]
    left = oracle.helpers(engine)
    output = Console()
    output.print(table(results))
    for result in results:
        for line in result.residue:
            print(f"{result.trial.kind}, {result.trial.boundary}: {line}")
    residues = sum(bool(result.residue) for result in results)
    print(f"{len(results)} trials, {residues} with residue; helper containers left: {len(left)}")
    return 1 if residues or left else 0


def trials(engine: str, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[Trial]:
    """Every boundary of every kind, without and with the guardian's death; for ever, seeded."""
    for turn in itertools.count():
        every = [*itertools.product(kinds, BOUNDARIES, (False, True))]
        random.Random(turn).shuffle(every)  # noqa: S311
        for number, (kind, boundary, dies) in enumerate(every):
            seed = turn * len(every) + number
            yield Trial(kind, boundary, dies, seed, engine, project_name(), Path())


def table(results: Sequence[Result]) -> Table:
    """One row a kind of fault."""
    drawn = Table("fault", "kills", "on record", "residue", "healed after p50 / p99 / max (s)")
    for kind in KINDS:
        of_kind = [result for result in results if result.trial.kind == kind]
        if of_kind:
            took = [result.heal_seconds for result in of_kind if result.was_tried] or [0.0]
            marks = " / ".join(f"{value:.2f}" for value in np.percentile(took, [50, 99, 100]))
            tried = sum(result.was_tried for result in of_kind)
            residue = sum(bool(result.residue) for result in of_kind)
            drawn.add_row(kind, str(len(of_kind)), str(tried), str(residue), marks)
    return drawn


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
