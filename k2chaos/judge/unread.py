"""What the evidence lacks of a stage: nobody may say of it that all is there, and unchanged."""

from collections.abc import Iterator, Mapping
from typing import Final

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
    untold = _untold(evidence.records)
    if not all(untold.values()):  # content is compared
        untold["exchange"] = untold.get("exchange", "exchange" not in given_up)
        for stage in (one for one in evidence.stages if untold.get(one)):
            yield f"{stage}: what its records say is not in the evidence"
        yield from _forgotten(evidence, untold["exchange"])
    if "topic" in {*evidence.records} - given_up:
        for name, what in _BESIDE.items():
            if getattr(evidence, name) is None:
                yield f"topic: {what} are not in the evidence"
        yield from undecided(evidence)


def _forgotten(evidence: RunEvidence, is_untold: bool) -> Iterator[str]:  # noqa: FBT001
    """Records whose content was held against nothing: the exchange remembers for so long only."""
    exchange, window = evidence.records.get("exchange"), evidence.window
    if exchange is not None and window is not None and not is_untold:
        count = count_lost(window, exchange)
        if count:
            yield f"exchange: what {count} of its records said it no longer knows"


def _untold(records: Mapping[str, pa.Table]) -> dict[str, bool]:
    """By stage that has records, whether it tells of none of them what it says."""
    return {
        stage: table["digest"].null_count == len(table)
        for stage, table in records.items()
        if len(table)
    }
