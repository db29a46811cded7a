"""
The critical paths of the data, and which test goes through which.

A test says what it covers with `covers`. `make check` fails where a path is covered by no test
(`tools/e2e/coverage.py`); the page of coverage, the selection of tests by what
changed and the page of success criteria are made from the same marks.
"""

from collections.abc import Callable
from typing import Any, Final

import pytest

PATHS: Final = {
    # The way of the data.
    "exchange -> topic": "a live trade is written to the topic once, in order, with its content",
    "topic -> table": "a record becomes a row, offsets and rows in one commit",
    "table -> API": "a row is shown by the API, from one snapshot",
    "exchange -> API in time": "a trade is shown within 30 s of its event, at every usual rate",
    "topic -> DLQ": "what cannot be decoded is kept whole, with the reason, and the rest flows",
    # What happens to it when something is away.
    "gap filling": "what the source missed is fetched by id",
    "replay after restart": "whoever died goes on where the data says, not where it remembers",
    "catch-up": "what was held up is shown in seconds once the way is free again",
    "catalog and store commit": "files, pointer and offsets land whole and once, whoever was away",
    "schema registration": "the schema is registered, and looked up at either registry",
    "schema failover": "with one registry away the other is asked, and no record waits for it",
    # The API to its users.
    "API authentication": "no key is 401, a wrong one 403, and neither is told any data",
    "API refusals": "what cannot be answered is refused with its status and a reason",
    "API degraded reads": "with its sources away the API answers on, and says how old it is",
    "API under load": "many users at once are all answered, in time",
    "API after restart": "a new process shows all that the table holds before it says healthy",
    "API history": "what is older than the minutes in memory is read from the table itself",
    "API about the table": "symbols, stats and snapshots tell what the table holds",
    # The stack.
    "table upkeep": "small files are merged and snapshots expire, and no row changes by it",
    "health": "a service says that it cannot work, and that it can again",
    "metrics": "the counts that monitoring reads move with the data",
    "start and stop": "services start in order, end in time, and come back by themselves",
}
"""Path -> what has to be true of it."""


def covers(*paths: str) -> Callable[[Any], Any]:
    """Mark a test with the paths that it goes through."""
    for path in paths:
        assert path in PATHS, path
    return pytest.mark.covers(*paths)
