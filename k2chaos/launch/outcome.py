"""
What became of one experiment, read from what its child left, and the exit code over several.

Rules: only a ``verdict.json`` that says ``pass`` is a pass; a child that left none is
inconclusive, whatever upstream's exit code says; a dry run is never a pass.
"""

import json
import math
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from k2chaos.errors import EXIT_CRASH, EXIT_USAGE

Word = Literal["pass", "fail", "usage", "inconclusive", "crashed"]

EXIT_CODES: Final[Mapping[Word, int]] = {
    "pass": 0,
    "fail": 1,
    "usage": EXIT_USAGE,
    "inconclusive": 3,
    "crashed": EXIT_CRASH,
}
_WORST_FIRST: Final = (1, EXIT_CRASH, EXIT_USAGE, 3, 0)
NO_VERDICT: Final = "no-verdict"
STOPPED: Final = "stopped"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of a verdict: a stable code, and a sentence."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of one experiment.

    Attributes:
        upstream_code: Exit code of an experiment that does not use k2chaos; its own, kept as is.
        stalest: Worst freshness seen, seconds.
        seconds: From the start of the child to its end.
        folder: The run folder, as the run named it.
    """

    name: str
    claim: str
    word: Word
    reasons: tuple[Reason, ...] = ()
    lost: float | None = None
    duplicated: float | None = None
    stalest: float | None = None
    seconds: float | None = None
    folder: str | None = None
    upstream_code: int | None = None

    @property
    def has_no_verdict(self) -> bool:
        """Whether the run ended before it could judge, and perhaps before it could heal."""
        return any(reason.code == NO_VERDICT for reason in self.reasons)

    @property
    def was_stopped(self) -> bool:
        """Whether `k2chaos stop` ended it, which means what was to come after it, too."""
        return any(reason.code == STOPPED for reason in self.reasons)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child ended: its exit code (negative for a signal) and after how many seconds."""

    code: int
    seconds: float

    def __str__(self) -> str:
        """The ending as people say it."""
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        return f"was ended by {signal.Signals(-self.code).name}"


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """The exit code over several experiments: the first present of 1, 4, 2, 3, 0."""
    present = {EXIT_CODES[outcome.word] for outcome in outcomes}
    return next((code for code in _WORST_FIRST if code in present), EXIT_CODES["inconclusive"])


def read_outcome(name: str, claim: str, report: Path, ending: Ending) -> Outcome:
    """
    The outcome of an experiment that uses k2chaos.

    Args:
        report: Where the run's control says which run folder it used, or what it refused.
        ending: How the child ended.
    """
    told = _json(report)
    folder = told.get("run")
    outcome = Outcome(name, claim, "inconclusive", seconds=ending.seconds, folder=_text(folder))
    if told.get("usage_error"):
        return replace(outcome, word="usage", reasons=(Reason("usage", str(told["usage_error"])),))
    if told.get("not_begun"):
        return replace(outcome, reasons=(Reason("not-begun", str(told["not_begun"])),))
    verdict = _json(Path(folder) / "verdict.json") if isinstance(folder, str) else {}
    if verdict.get("verdict") not in ("pass", "fail", "inconclusive"):
        return _without_verdict(outcome, ending)
    outcome = with_verdict(outcome, verdict)
    if ending.code == EXIT_CRASH and outcome.word != "fail":
        crash = Reason("crashed", f"the child {ending} after the verdict was written")
        return replace(outcome, word="crashed", reasons=(*outcome.reasons, crash))
    return outcome


def of_upstream(name: str, claim: str, ending: Ending) -> Outcome:
    """The outcome of an experiment that does not use k2chaos: upstream's exit code decides."""
    reasons = () if ending.code == 0 else (Reason("upstream", f"Chaos Toolkit {ending}"),)
    code = ending.code if ending.code >= 0 else 128 - ending.code
    word: Word = "fail" if code else "pass"
    return Outcome(name, claim, word, reasons, seconds=ending.seconds, upstream_code=code)


def dry(outcome: Outcome) -> Outcome:
    """The same outcome of a dry run, which is never a pass."""
    if outcome.word != "pass":
        return outcome
    reason = Reason("dry-run", "a dry run proves nothing")
    return replace(outcome, word="inconclusive", reasons=(reason, *outcome.reasons))


def not_run(name: str, claim: str) -> Outcome:
    """The outcome of an experiment that an interrupt left out."""
    reasons = (Reason("not-run", "interrupted before it began"),)
    return Outcome(name, claim, "inconclusive", reasons)


def _without_verdict(outcome: Outcome, ending: Ending) -> Outcome:
    word: Word = "crashed" if ending.code == EXIT_CRASH else "inconclusive"
    text = f"the run left no verdict: its process {ending}"
    return replace(outcome, word=word, reasons=(Reason(NO_VERDICT, text),))


def with_verdict(outcome: Outcome, verdict: Mapping[str, Any]) -> Outcome:
    """*outcome* as a ``verdict.json`` tells it."""
    records, freshness = _part(verdict, "records"), _part(verdict, "freshness")
    return replace(
        outcome,
        claim=_text(verdict.get("claim")) or outcome.claim,
        word=verdict["verdict"],
        reasons=tuple(_reasons(verdict.get("reasons"))),
        lost=_number(records.get("lost")),
        duplicated=_number(records.get("duplicated")),
        stalest=_number(freshness.get("max")),
    )


def _reasons(value: Any) -> Iterable[Reason]:
    for item in value if isinstance(value, list) else ():
        if isinstance(item, Mapping):
            yield Reason(str(item.get("code", "")), str(item.get("text", "")))


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = value.get(name)
    return part if isinstance(part, Mapping) else {}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _json(path: Path) -> Mapping[str, Any]:
    """The object in the file; an empty one where there is none that can be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
