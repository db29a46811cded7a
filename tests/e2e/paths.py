"""
The critical paths of the data, and which test goes through which.

A test says what it covers with `covers`. `make check` fails where a path is covered by no test of
the core suite (`tools/e2e/coverage.py`); the page of coverage, the selection of tests by what
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

NOT_COVERED: Final = {
    "exchange -> API in time": "test_the_api_is_never_staler_than_promised",
    "catch-up": "test_what_a_paused_sink_missed_is_caught_up_in_seconds",
    "catalog and store commit": "test_an_interruption_midway_loses_nothing_and_doubles_nothing",
    "schema registration": "test_every_record_and_the_table_follow_the_registered_schema",
    "schema failover": "test_an_interruption_midway_loses_nothing_and_doubles_nothing[registry]",
    "API authentication": "test_the_api_refuses_what_it_should_and_says_why",
    "API refusals": "test_the_api_refuses_what_it_should_and_says_why",
    "API degraded reads": "test_an_api_without_a_store_tells_how_old_its_answers_are",
    "API under load": "test_fifty_users_are_answered_in_time",
    "API after restart": "test_a_restart_of_the_whole_stack_keeps_every_record",
    "API history": "to be written: a read with start_time and end_time over an hour ago",
    "API about the table": "to be written: /v1/symbols, stats and snapshots against the table",
    "table upkeep": "to be written: a window audited again after the sink has merged its files",
    "metrics": "to be written: /metrics of source, sink and API before and after one window",
}
"""
Path that no test of the core suite is marked with -> the test that ought to be.

A debt, told on the page and counted as not covered. Entries only leave: one whose path a test
covers breaks `make check` until it is deleted.
"""


def covers(*paths: str) -> Callable[[Any], Any]:
    """Mark a test with the paths that it goes through."""
    for path in paths:
        assert path in PATHS, path
    return pytest.mark.covers(*paths)
