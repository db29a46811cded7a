"""
Where a run can be killed: before the first step of holding a fault, after each, and within one.

The product knows nothing of this: the steps are a value, and here each is wrapped.
"""

import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from k2chaos.system.faults.steps import Steps

STEPS: Final = tuple(field.name for field in fields(Steps))
_LONGEST_WITHIN_SECONDS: Final = 0.4
"""How far into a step a kill may come; most are over sooner, and then it comes in the next ones."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """One moment in the life of a fault."""

    when: Literal["before", "after", "within"]
    step: str

    @property
    def is_watched(self) -> bool:
        """Whether a guardian is there by then; before, nothing was injected."""
        return STEPS.index(self.step) >= STEPS.index("watch_over")

    def __str__(self) -> str:
        """As the table names it."""
        return f"{self.when} {self.step}"


BOUNDARIES: Final = (
    Boundary("before", STEPS[0]),
    *(Boundary("after", step) for step in STEPS),
    Boundary("within", "inject"),
    Boundary("within", "undo"),
)


def dying_at(boundary: Boundary, die: Callable[[], None], seed: int) -> Steps:
    """The steps, with *die* called at *boundary*."""
    step = getattr(Steps(), boundary.step)

    def wrapped(*given: Any) -> None:
        if boundary.when == "before":
            die()
        if boundary.when == "within":
            delay = random.Random(seed).uniform(0, _LONGEST_WITHIN_SECONDS)  # noqa: S311
            threading.Timer(delay, die).start()
        step(*given)
        if boundary.when == "after":
            die()

    return Steps(**{boundary.step: wrapped})


def kill_everything(guardian: int | None) -> None:
    """SIGKILL to our own process group, to the *guardian* first where one is named."""
    if guardian is not None:
        os.kill(guardian, signal.SIGKILL)
    os.killpg(0, signal.SIGKILL)
