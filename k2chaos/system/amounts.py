"""
How much of a thing, and which word, may be asked for: what lint checks, and what is checked again
at run time.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from k2chaos.errors import UsageError


class Bounds(NamedTuple):
    """The least and the most that may be asked for, both included."""

    least: float
    most: float
    is_whole: bool = False


AMOUNTS: Final[Mapping[str, Bounds]] = {
    "percent": Bounds(0.1, 100),
    "milliseconds": Bounds(1, 4000),
    "jitter_milliseconds": Bounds(0, 2000),
    "cores": Bounds(0.01, 1024),
    "every_seconds": Bounds(0.1, 60),
    "factor": Bounds(1.1, 100),
    "headroom": Bounds(0, 100_000, is_whole=True),
    "headroom_mib": Bounds(0, 1_000_000, is_whole=True),
    "bytes_per_second": Bounds(1, 1e9),
    "kbit_per_second": Bounds(16, 40_000),
    "max_bytes": Bounds(1, 1e9, is_whole=True),
    "per_second": Bounds(1, 50),
    "records": Bounds(1, 10, is_whole=True),
    "size": Bounds(1, 1e8, is_whole=True),
}
"""
By the name of the argument.

``cores``: the engine gives no less than the least. ``kbit_per_second``: a watcher in a container
on a small machine measures up to three times the most that may be asked for, and must see twice as
much before as during the fault.
"""


def what_is_wrong(name: str, value: Any) -> str | None:
    """Why *value* is no *name* to ask for; ``None`` where it is one."""
    bounds = AMOUNTS[name]
    kinds, noun = (int, "whole number") if bounds.is_whole else (int | float, "number")
    is_number = isinstance(value, kinds) and not isinstance(value, bool)
    if is_number and bounds.least <= value <= bounds.most:
        return None
    return f"must be a {noun} from {bounds.least:g} to {bounds.most:g}, not {value!r}"


def refuse_bad_amount(name: str, value: Any) -> None:
    """
    Check how much is asked for.

    Raises:
        UsageError: It is no number, or out of bounds.
    """
    wrong = what_is_wrong(name, value)
    if wrong:
        message = f"{name} {wrong}"
        raise UsageError(message)


def refuse_other_than(name: str, value: Any, words: Collection[str]) -> None:
    """
    Check which of some *words* is asked for.

    Raises:
        UsageError: It is none of them.
    """
    if value not in words:
        message = f"{name} must be one of {', '.join(words)}, not {value!r}"
        raise UsageError(message)
