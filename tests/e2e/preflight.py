"""
What has to be so before anything is tested, each with what to do where it is not.

In the order in which one hides the next; all of it together takes a few seconds, so that nobody
waits minutes for a test to fail of something that could have been said at once.
"""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from k2chaos.errors import StageBlind, StageUnavailable
from tests.e2e.content import ask, iceberg_table
from tests.e2e.lab import Lab

CLOCK_SECONDS: Final = 5.0
"""By how much the exchange's clock and ours may differ; freshness is budgeted in tens of them."""

_UP_SECONDS: Final = 600


class NotUsableError(Exception):
    """The lab is in a state in which no test could tell anything."""


def make_usable(lab: Lab) -> None:
    """
    Bring the lab up where it is not, then check what a test cannot mend.

    Raises:
        NotUsableError: What is wrong, and what to do.
    """
    if lab.troubles():
        _bring_up(lab)
    check_key(lab)
    check_clock(lab)
    check_rows(lab)


def _bring_up(lab: Lab) -> None:
    """Start what is missing; `k2chaos lab up` names ports held by others, and all else."""
    sys.stderr.write(f"\nbringing the lab up ({', '.join(lab.troubles())})\n")
    command = [str(Path(sys.executable).with_name("k2chaos")), "lab", "up"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_UP_SECONDS)
    if done.returncode != 0:
        message = f"`k2chaos lab up` ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        raise NotUsableError(message)


def check_key(lab: Lab) -> None:
    """The API must know our key."""
    status = ask(lab.pipeline, "/v1/stats").status_code
    if status in {401, 403}:
        message = (
            f"the API answers {status} to the key of the pipeline file (K2_API_KEY, else "
            f"{lab.pipeline.name}'s env_file): it was started from another clone, or with "
            "another key; `k2chaos lab up` from this one"
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
    table = iceberg_table(lab.pipeline)
    newest = table.scan(selected_fields=("symbol", "exchange", "trade_id")).to_arrow()
    foreign = newest.filter(pc.invert(pc.is_in(newest["symbol"], pa.array(sorted(emitted)))))
    if foreign.num_rows:
        names = sorted(set(foreign["symbol"].to_pylist()))[:5]
        message = (
            f"the table {lab.pipeline.table.name} holds {foreign.num_rows} rows of {names}, which "
            "the exchange never traded: somebody else writes there; "
            "`k2chaos lab down --volumes` empties it"
        )
        raise NotUsableError(message)
