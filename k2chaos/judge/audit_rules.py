"""The rules of an audit without a fault: is the data of a window whole?"""

from collections.abc import Iterator
from typing import Final

from k2chaos.judge.case import Case, Rule
from k2chaos.judge.promise import breaks_promise, told
from k2chaos.judge.unread import unread


def _broken(case: Case) -> Iterator[str]:
    promise = case.evidence.run.get("pipeline", {}).get("promise", {})
    return (told(one) for one in case.findings if breaks_promise(one, promise))


def _unavailable(case: Case) -> Iterator[str]:
    for event in case.evidence.events_named("stage-unavailable"):
        yield f"{event.get('stage')}: {event.get('reason')}"


def _not_read(case: Case) -> Iterator[str]:
    if case.evidence.window is not None:
        yield from unread(case)
    for event in case.evidence.events_named("not-audited"):
        yield f"{event.get('stage')}: {event.get('reason')}"


def _went_back(case: Case) -> Iterator[str]:
    window = case.evidence.window
    for key, first in sorted(window.after.items()) if window else ():
        if window and window.until.get(key, -1) < first:
            yield f"the ids of {key} went back (was the exchange reset?): its records are unknown"


def _nothing_to_look_for(case: Case) -> Iterator[str]:
    window = case.evidence.window
    if window is None:
        yield "how many records flowed could not be determined"
    elif not window.expected:
        yield "no record was emitted in this time: there was nothing to look for"


def _ended(case: Case) -> Iterator[str]:
    for event in case.evidence.events_named("interrupted"):
        yield f"interrupted by {event.get('reason')}"


AUDIT_RULES: Final[tuple[Rule, ...]] = (
    Rule("promise-broken", "fail", "The data broke a promise of the pipeline.", _broken),
    Rule(
        "stage-unavailable",
        "fail",
        "A stage refused, hung or erred when it was read.",
        _unavailable,
    ),
    Rule(
        "not-audited",
        "inconclusive",
        "The records of a stage were not read, or could not be for a reason of ours.",
        _not_read,
    ),
    Rule(
        "window-broken",
        "inconclusive",
        "The exchange's ids went back: what was to be expected is not known.",
        _went_back,
    ),
    Rule(
        "too-few-records",
        "inconclusive",
        "No record was emitted in that time, or nobody knows how many.",
        _nothing_to_look_for,
    ),
    Rule(
        "evidence-damaged",
        "inconclusive",
        "A file of the folder is missing, cannot be read, or was changed after its end.",
        lambda case: iter(case.evidence.damage),
    ),
    Rule("interrupted", "inconclusive", "The audit was told to end.", _ended),
)
