"""
How far off beginning and length of a fault are: ``python benchmarks/timing.py [N [kind ...]]``.

On an idle machine. Each fault is prepared ahead and asked to begin at an instant and to last for
`HELD_SECONDS`; when it began and ended is the engine's own account (``pause``, ``die``, ...) or,
for packet faults, the instant at which the helper had put its rules in force. Prints percentiles.
"""

import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from k2chaos.system.engine import DockerRuntime, connect
from k2chaos.system.faults import Hold, System
from k2chaos.system.faults.held import held, watch
from k2chaos.system.runtime import Container
from tests.contract.containers import containers, network, throwaway_project
from tests.contract.holding import holding_on
from tests.fakes.examples import EXAMPLES, PEER

AHEAD_SECONDS = 2.5
HELD_SECONDS = 2.0
SERVICE = "kafka"
KINDS = ("pause", "kill", "partition", "lose-packets", "delay-packets")
DEFAULT_TIMES = 50


def main() -> None:
    """Hold each kind so many times; print how far off each was."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_TIMES
    kinds = sys.argv[2:] or KINDS
    runtime = connect()
    drawn = Table("fault", "times", "start error p50 / p99 / worst (ms)", "length error (ms)")
    for kind in kinds:
        target = Container(runtime.engine, throwaway_project(), SERVICE)
        with (
            network(target.engine, target.project) as joined,
            containers(target.engine, target.project, (SERVICE, PEER), joined),
        ):
            shown = track(range(times), kind, console=Console(stderr=True))
            holds = [_one(runtime, kind, target) for _ in shown]
        starts = [one.start_error_seconds for one in holds if one.start_error_seconds is not None]
        lengths = [one.achieved_seconds - HELD_SECONDS for one in holds if one.ended_at]
        row = (kind, str(len(holds)), _marks(starts), _marks(lengths))
        drawn.add_row(*row)
        print(" | ".join(row), flush=True)
    Console().print(drawn)


def _one(runtime: DockerRuntime, kind: str, target: Container) -> Hold:
    with tempfile.TemporaryDirectory() as folder:
        holding = holding_on(System(runtime), Path(folder))
        begin_at = holding.clock.now() + timedelta(seconds=AHEAD_SECONDS)
        with held(EXAMPLES[kind](target), HELD_SECONDS, holding, begin_at) as hold:
            watch([hold], HELD_SECONDS, holding)
    return hold


def _marks(seconds: Sequence[float]) -> str:
    """By how much most, nearly all, and the worst were off; early or late is both off."""
    if not seconds:
        return "not told"
    off = np.percentile(np.abs(seconds) * 1e3, [50, 99, 100])
    return " / ".join(f"{value:.1f}" for value in off)


if __name__ == "__main__":
    main()
