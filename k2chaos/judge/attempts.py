"""
The observer's attempts to look at a stage: whether it answered, and whether anybody asked.

A tick at which the look before had not come back is an attempt that says ``outstanding``. What it
was worth tells the end of that look: one that was answered within a second was only slow.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from k2chaos.evidence.reading import RunEvidence
from k2chaos.judge.series import Booleans, Samples, Series

OUTSTANDING: Final = "outstanding"
"""The observer's note of a tick at which a look had not come back."""
STEP_SECONDS: Final = 0.5
"""A clock that goes back by more has been set; by less, writers may have overtaken each other."""
SLOW_SECONDS: Final = 1.0
"""A look that takes longer hangs."""


def answers(samples: Samples, stage: str) -> Series:
    """
    The attempts at *stage*: NaN where it refused, failed or hung, else the seconds it took.

    Ticks during a look that was slow, but no slower than `SLOW_SECONDS`, say nothing and are left
    out.
    """
    attempts = samples.series(stage, "attempt_seconds")
    waiting = np.isin(attempts.at, samples.times_noted(stage, "attempt_seconds", OUTSTANDING))
    is_waiting = waiting & np.isnan(attempts.values)
    is_told = ~is_waiting
    for begin, end in _runs(is_waiting):
        is_told[begin:end] = _hangs(attempts, begin, end)
    return Series(attempts.at[is_told], attempts.values[is_told])


def clock_steps(samples: Samples, stages: Iterable[str]) -> Iterator[tuple[str, float, float]]:
    """Where the clock of the samples went back: the stage they are of, when, and by how much."""
    for stage in stages:
        times = samples.as_written(stage, "attempt_seconds")
        for row in np.flatnonzero(np.diff(times) < -STEP_SECONDS)[:1]:
            yield stage, float(times[row]), float(times[row] - times[row + 1])


def samples_in_order(evidence: RunEvidence) -> Samples | None:
    """
    The samples of a run; ``None`` where there are none, or where their clock went back: in the
    order of their times they then tell of what never happened.
    """
    if evidence.samples is None or not evidence.samples.num_rows:
        return None
    samples = Samples(evidence.samples)
    return None if any(clock_steps(samples, evidence.stages)) else samples


def blind_spans(
    samples: Samples, stage: str, begin: float, end: float, longest: float
) -> list[tuple[float, float]]:
    """From when to when, between *begin* and *end*, nobody looked for longer than *longest*."""
    attempts = samples.series(stage, "attempt_seconds").between(begin, np.inf)
    since = np.concatenate([[begin], attempts.at])
    # An answer tells of its whole look.
    until = np.concatenate([attempts.at - np.nan_to_num(attempts.values), [end]])
    until = np.minimum(until, end)
    return [
        (float(since[gap]), float(until[gap])) for gap in np.flatnonzero(until - since > longest)
    ]


def _runs(mask: Booleans) -> Iterator[tuple[int, int]]:
    """Where *mask* holds: first and behind the last of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    yield from ((int(first), int(last)) for first, last in edges.reshape(-1, 2))


def _hangs(attempts: Series, begin: int, end: int) -> Booleans:
    """Which ticks, from *begin* to before *end*, of one outstanding look say that it hangs."""
    at = attempts.at[begin:end]
    is_over = end < len(attempts)
    if is_over and np.isnan(attempts.values[end]):
        return np.ones(at.size, dtype=np.bool_)
    began = attempts.at[end] - attempts.values[end] if is_over else at[0]
    hangs: Booleans = at - began > SLOW_SECONDS
    return hangs
