"""
What has to be so before anything is tested, each with what to do where it is not.

In the order in which one hides the next; all of it together takes a few seconds, so that nobody
waits minutes for a test to fail of something that could have been said at once.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from k2chaos.errors import StageBlind, StageUnavailable
from k2chaos.evidence.state import held_pipelines, state_directory
from k2chaos.system.lab import lab_status
from tests.e2e.command import CommandError, k2chaos
from tests.e2e.content import ask, iceberg_table
from tests.e2e.lab import Lab

CLOCK_SECONDS: Final = 5.0
"""By how much the exchange's clock and ours may differ; freshness is budgeted in tens of them."""


class NotUsableError(Exception):
    """The lab is in a state in which no test could tell anything."""


def make_usable(lab: Lab, say: Callable[[str], None]) -> None:
    """
    Bring the lab up where it is not whole or not this clone's, then check what cannot be mended.

    Raises:
        NotUsableError: What is wrong, and what to do.
    """
    check_nobody_else(lab.pipeline.compose.project)
    if wrong := lab.troubles() or foreign_images():
        say(f"bringing the lab up, which takes a minute or two: {', '.join(wrong)}")
        bring_up()
    if bugs := sorted({bug for one in lab_status() for bug in one.bugs}):
        say(f"the lab has bugs on purpose, tests should fail of them: {', '.join(bugs)}")
    check_key(lab)
    check_clock(lab)
    check_rows(lab)


def bring_up() -> None:
    """
    Start what is missing; `k2chaos lab up` names ports held by others, and all else.

    Raises:
        NotUsableError: With what it said.
    """
    try:
        k2chaos("lab", "up")
    except CommandError as error:
        raise NotUsableError(str(error)) from error


def foreign_images() -> list[str]:
    """Services that run what another clone or another commit has built."""
    return [
        f"{one.service} runs an image that is not this clone's"
        for one in lab_status()
        if not one.current
    ]


def check_nobody_else(project: str) -> None:
    """No run of k2chaos may hold the lab."""
    holder = held_pipelines(state_directory()).get(project)
    if holder is not None:
        message = (
            f"run {holder.run} (process {holder.pid}) is using it; wait for its end, or interrupt "
            "it (Ctrl-C there)"
        )
        raise NotUsableError(message)


def check_key(lab: Lab) -> None:
    """The API must know our key."""
    status = ask(lab.pipeline, "/v1/stats").status_code
    if status in {401, 403}:
        message = (
            f"the API answers {status} to the key of {lab.file.path} (variable K2_API_KEY, else "
            "stack/.env): it was started from another clone, or the variable holds another key; "
            "unset it, or `k2chaos lab up` from this clone"
        )
        raise NotUsableError(message)
    try:
        lab.stages.check_credentials()
    except StageBlind as error:
        raise NotUsableError(str(error)) from error


def check_clock(lab: Lab) -> None:
    """The exchange's clock must be ours: event times are its own, the API's age is ours."""
    assert lab.stages.exchange is not None
    try:
        theirs = lab.stages.exchange.ledger().now
    except StageUnavailable as error:
        raise NotUsableError(str(error)) from error
    off = abs((datetime.now(UTC) - theirs).total_seconds())
    if off > CLOCK_SECONDS:
        message = (
            f"the exchange's clock is {off:.0f} s off ours: no freshness would mean anything; "
            "set the clocks (a suspended virtual machine?)"
        )
        raise NotUsableError(message)


def check_rows(lab: Lab) -> None:
    """The table must hold trades of the exchange only: counts are compared record by record."""
    assert lab.pipeline.table is not None
    emitted = lab.stages.newest_emitted()
    columns = iceberg_table(lab.pipeline).scan(selected_fields=("symbol", "source_sequence"))
    found = foreign_rows(columns.to_arrow(), emitted)
    if found.num_rows:
        names = sorted(set(found["symbol"].to_pylist()))[:5]
        message = (
            f"the table {lab.pipeline.table.name} holds {found.num_rows} rows, of {names}, that "
            "the exchange never emitted: somebody else writes there, or the exchange was given a "
            "new memory; `k2chaos lab down --volumes` empties both"
        )
        raise NotUsableError(message)


def foreign_rows(rows: pa.Table, emitted: Mapping[str, int]) -> pa.Table:
    """
    The rows that the exchange never emitted.

    Args:
        rows: ``symbol`` and ``source_sequence``.
        emitted: The newest trade id by symbol.
    """
    known = pa.table({"symbol": pa.array(emitted, pa.string()), "newest": list(emitted.values())})
    rows = rows.set_column(0, "symbol", rows["symbol"].cast(pa.string()))
    joined = rows.join(known, "symbol", join_type="left outer")
    strange = pc.or_kleene(
        pc.is_null(joined["newest"]), pc.greater(joined["source_sequence"], joined["newest"])
    )
    return joined.filter(strange)
