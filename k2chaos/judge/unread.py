"""What the evidence lacks of a stage: nobody may say of it that all is there, and unchanged."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from k2chaos.evidence.reading import RunEvidence
from k2chaos.judge.audit import count_lost
from k2chaos.judge.case import Case
from k2chaos.judge.values import undecided

_BESIDE: Final[Mapping[str, str]] = {
    "malformed": "its values that are no record",
    "letters": "its dead letters",
    "committed": "the offsets that the sink's group committed",
}


def unread(case: Case) -> Iterator[str]:
    """What the evidence lacks of a stage, though nothing says that it could not be read."""
    evidence = case.evidence
    names = ("not-audited", "stage-unavailable")
    given_up = {one.get("stage") for name in names for one in evidence.events_named(name)}
    for stage in evidence.audited_stages:
        if stage not in {*evidence.records, *given_up}:
            yield f"{stage}: its records are not in the evidence"
    yield from _uncompared(evidence, given_up)
    if "topic" in {*evidence.records} - given_up:
        for name, what in _BESIDE.items():
            if getattr(evidence, name) is None:
                yield f"topic: {what} are not in the evidence"
        yield from undecided(evidence)


def _uncompared(evidence: RunEvidence, given_up: set[Any]) -> Iterator[str]:
    """Where content is compared: stages and records of which it is not known."""
    untold = _untold(evidence.records)
    if all(untold.values()):
        return
    untold["exchange"] = untold.get("exchange", "exchange" not in given_up)
    for stage in (one for one in evidence.stages if untold.get(one)):
        yield f"{stage}: what its records say is not in the evidence"
    exchange, window = evidence.records.get("exchange"), evidence.window
    if untold["exchange"] or exchange is None or window is None:
        return
    if count := count_lost(window, exchange):  # it remembers for so long only
        yield f"exchange: what {count} of its records said it no longer knows"


def _untold(records: Mapping[str, pa.Table]) -> dict[str, bool]:
    """By stage that has records, whether it tells of none of them what it says."""
    return {
        stage: table["digest"].null_count == len(table)
        for stage, table in records.items()
        if len(table)
    }
