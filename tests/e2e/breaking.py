"""Faults held in a run of k2chaos: written down, seen by a witness, healed whatever happens."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from k2chaos.system.faults import Fault, Hold
from k2chaos.system.faults.held import held, watch
from k2chaos.system.run import Run
from k2chaos.system.runtime import select

LONGEST_OUTAGE_SECONDS: Final = 180.0


@dataclass(frozen=True)
class Breaking:
    """A run in which faults are held."""

    run: Run

    @contextlib.contextmanager
    def hold(
        self, kind: Callable[..., Fault], role: str, service: str = "", **parameters: Any
    ) -> Iterator[Hold]:
        """Hold one fault while the block runs."""
        (target,) = select(self.run.runtime, self.run.pipeline, role, service or None)
        fault = kind(target, **parameters)
        with held(fault, LONGEST_OUTAGE_SECONDS, self.run.holding()) as hold:
            yield hold

    def watch(self, hold: Hold, seconds: float) -> None:
        """Let *seconds* pass while *hold* is held; that it was still there is looked at."""
        watch([hold], seconds, self.run.holding())
