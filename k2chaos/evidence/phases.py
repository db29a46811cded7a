"""The phases of a recovery, as ``verdict.json`` names them, and what each means."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

PHASES: Final[Mapping[str, str]] = {
    "detected_seconds": "the data left the band in which it was before the first fault",
    "service_seconds": "from here on every service ran, was healthy, and every stage answered",
    "flow_seconds": "after a standstill, records reached the last stage again",
    "caught_up_seconds": "every record emitted up to the heal was at the last stage",
    "fresh_seconds": "from here on the last stage was inside its freshness budget",
}
"""In this order. Budgets count from the heal; that of the detection from the injection."""


def budget_mistakes(budgets: Any) -> Iterator[str]:
    """What is wrong with budgets for phases, as an experiment writes them."""
    if not isinstance(budgets, Mapping):
        yield f'must be an object such as {{"fresh_seconds": 60}}, not {budgets!r}'
        return
    for name, seconds in budgets.items():
        if name not in PHASES:
            yield f"{name!r} is no phase; the phases are {', '.join(PHASES)}"
        elif not _is_positive(seconds):
            yield f"{name} must be a number of seconds above 0, not {seconds!r}"


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0
