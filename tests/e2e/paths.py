"""
The critical paths of the data, and which test goes through which.

A test says what it covers with `covers`; a path that no test covers breaks the suite
(`test_coverage.py`), and the page of success criteria is generated from the same marks.
"""

from collections.abc import Callable
from typing import Any, Final

import pytest

PATHS: Final = {
    "exchange -> topic": "a live trade is written to the topic once, in order, with its content",
    "topic -> table": "a record becomes a row, offsets and rows in one commit",
    "table -> API": "a row is shown by the API, from one snapshot",
    "topic -> DLQ": "what cannot be decoded is kept whole, with the reason, and the rest flows",
    "gap filling": "what the source missed is fetched by id",
    "replay after restart": "whoever died goes on where the data says, not where it remembers",
    "schema registration": "the schema is registered, and looked up at either registry",
    "health": "a service says that it cannot work, and that it can again",
    "start and stop": "services start in order, end in time, and come back by themselves",
}
"""Path -> what has to be true of it."""


def covers(*paths: str) -> Callable[[Any], Any]:
    """Mark a test with the paths that it goes through."""
    for path in paths:
        assert path in PATHS, path
    return pytest.mark.covers(*paths)
