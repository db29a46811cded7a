"""
The long form: so many trials, a table, and exit code 1 where anything was left.

``python -m tools.residue [trials [kind ...]]``; without kinds, all that there is a place for.
"""

import contextlib
import itertools
import random
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from k2chaos.system.engine import connect
from k2chaos.system.engine.address import engine_address
from k2chaos.system.engine.helping import IDLE_FORGOTTEN_SECONDS
from tests.contract.containers import throwaway_project
from tests.fakes.examples import DATA_EXAMPLES
from tools.residue import oracle
from tools.residue.boundaries import BOUNDARIES
from tools.residue.places import lab_is_up
from tools.residue.trials import Result, came_true, run_trial
from tools.residue.victim import KINDS, Trial

AT_ONCE: Final = 3
DEFAULT_TRIALS: Final = 1000
TOLD_EVERY: Final = 50


def main(words: Sequence[str]) -> int:
    """Run them and print what was left."""
    count = int(words[0]) if words else DEFAULT_TRIALS
    engine, output = engine_address(), Console()
    kinds = words[1:] or kinds_for(with_lab=lab_is_up(engine))
    running = run_all(itertools.islice(trials(engine, kinds), count))
    results = []
    with contextlib.suppress(KeyboardInterrupt):  # what there is by then is worth its table
        for result in track(running, "trials", count, console=Console(stderr=True)):
            results.append(result)
            for line in result.residue:  # at once: a thousand take long
                print(f"{result.trial}: {line}", flush=True)
            if len(results) % TOLD_EVERY == 0:  # a file shows no bar
                print(f"{len(results)} of {count}", flush=True)
    running.close()
    left = _forgotten_helpers(engine)
    output.print(table(results))
    residues = sum(bool(result.residue) for result in results)
    print(f"{len(results)} trials, {residues} with residue; helper containers left: {len(left)}")
    return 1 if residues or left else 0


def _forgotten_helpers(engine: str) -> list[str]:
    """
    The helper containers that stay after what the next `k2chaos heal` does.

    One that has ended may lie there for some seconds: a run may be about to remove it.
    """

    def are_gone() -> bool:
        connect(engine).drop_forgotten_helpers()
        return not oracle.helpers(engine)

    came_true(are_gone, 2 * IDLE_FORGOTTEN_SECONDS)
    return oracle.helpers(engine)


def kinds_for(*, with_lab: bool) -> tuple[str, ...]:
    """All kinds; without a lab, all that need none, which is said."""
    if with_lab:
        return tuple(KINDS)
    print(f"the lab is not up (k2chaos lab up), so these are skipped: {', '.join(DATA_EXAMPLES)}")
    return tuple(kind for kind in KINDS if kind not in DATA_EXAMPLES)


def run_all(every: Iterable[Trial]) -> Generator[Result]:
    """The results as they come: of several at once, and of one at a time on the lab."""
    with ThreadPoolExecutor(AT_ONCE) as own, ThreadPoolExecutor(1) as lab:
        running: list[Future[Result]] = [
            (lab if trial.kind in DATA_EXAMPLES else own).submit(run_trial, trial)
            for trial in every
        ]
        try:
            for done in as_completed(running):
                yield done.result()
        finally:
            for one in running:
                one.cancel()


def trials(engine: str, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[Trial]:
    """Every boundary of every kind, without and with the guardian's death; for ever, seeded."""
    for turn in itertools.count():
        every = [*itertools.product(kinds, BOUNDARIES, (False, True))]
        random.Random(turn).shuffle(every)  # noqa: S311
        for number, (kind, boundary, dies) in enumerate(every):
            seed = turn * len(every) + number
            yield Trial(kind, boundary, dies, seed, engine, throwaway_project(), Path())


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
