"""
Judging stored runs again, from their folders alone: no engine, no pipeline, no network.

The same evidence gives the same ``verdict.json``, byte for byte. One that differs was written by
another version, or its evidence has changed since (a fault that was healed later, a file that was
touched).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, TextIO

from k2chaos.errors import UsageError
from k2chaos.evidence.folder import redacted_json
from k2chaos.evidence.reading import is_run_folder, read_run
from k2chaos.evidence.state import write_atomically
from k2chaos.judge.document import verdict_document
from k2chaos.launch.outcome import Outcome, Reason, with_verdict
from k2chaos.launch.summary import print_summary

Stored = Literal["same", "differs", "missing"]

VERDICT: Final = "verdict.json"
_DAMAGED: Final = "evidence-damaged"
"""The code of the verdict's rule."""
_SHOWN_PATHS: Final = 5

_SHAPES: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What evidence raises that is not as this version writes it: other types, other columns."""


@dataclass(frozen=True, slots=True)
class Rejudged:
    """
    A stored run, judged again.

    Attributes:
        document: The verdict; ``None`` where there is none to be had.
        stored: How the verdict in the folder compares with it.
        said: The word of the verdict in the folder.
        differing: The paths at which the two differ, in the order of this one's.
    """

    outcome: Outcome
    document: Mapping[str, Any] | None = None
    stored: Stored = "missing"
    said: str | None = None
    differing: tuple[str, ...] = ()

    @property
    def can_be_stored(self) -> bool:
        """Not in the place of one that was made while the evidence was whole."""
        return self.document is not None and (
            self.stored == "missing"
            or (self.stored == "differs" and not (self.said and self._is_damaged))
        )

    @property
    def _is_damaged(self) -> bool:
        return any(reason.code == _DAMAGED for reason in self.outcome.reasons)


def rejudge(folder: Path) -> Rejudged:
    """Judge the run at *folder*; what is no run, or cannot be judged, is an outcome too."""
    outcome = Outcome(folder.name, str(folder), "usage", folder=str(folder.absolute()))
    mistake = _mistake(folder)
    if mistake:
        return _no_run(outcome, f"{folder} {mistake}")
    try:
        document = verdict_document(read_run(folder))
        outcome = with_verdict(replace(outcome, seconds=_took(document)), document)
    except _SHAPES as error:
        text = f"it is not of the shape that this version reads ({error})"
        reason = Reason(_DAMAGED, " ".join(text.split()))
        return Rejudged(replace(outcome, word="inconclusive", reasons=(reason,)))
    outcome = replace(outcome, name=str(document["experiment"] or folder.name))
    stored = _read(folder / VERDICT)
    if stored is None:
        return Rejudged(outcome, document)
    text = verdict_text(document)
    if stored == text:
        return Rejudged(outcome, document, "same", _word(stored))
    differing = tuple(_differing(_parsed(stored), json.loads(text), ""))
    return Rejudged(outcome, document, "differs", _word(stored), differing)


def verdict_text(document: Mapping[str, Any]) -> str:
    """*document* as it stands in ``verdict.json``; its evidence bears no secrets."""
    return redacted_json(document, (), indent=2) + "\n"


def write_verdicts(folders: Sequence[Path], runs: Sequence[Rejudged]) -> None:
    """
    Put every verdict that can be stored into its folder.

    Raises:
        UsageError: A folder cannot be written to.
    """
    for folder, run in zip(folders, runs, strict=True):
        if run.document is not None and run.can_be_stored:
            try:
                write_atomically(folder / VERDICT, verdict_text(run.document))
            except OSError as error:
                message = f"cannot write {folder / VERDICT} ({error.strerror or error})"
                raise UsageError(message) from error


def print_table(runs: Sequence[Rejudged], output: TextIO, *, written: bool) -> None:
    """The summary of runs, and for each what its folder said before."""
    print_summary([run.outcome for run in runs], output)
    output.write("\n")
    for run in runs:
        if run.document is not None:
            output.write(
                f"{Path(run.outcome.folder or '').name}: {_compared(run, written=written)}\n"
            )


def print_json(runs: Sequence[Rejudged], output: TextIO) -> None:
    """One JSON document."""
    listed = [
        {
            "folder": run.outcome.folder,
            "outcome": run.outcome.word,
            "stored": run.stored,
            "stored_verdict": run.said,
            "differing": run.differing,
            "reasons": [{"code": one.code, "text": one.text} for one in run.outcome.reasons],
            "verdict": run.document,
        }
        for run in runs
    ]
    output.write(json.dumps({"schema": 1, "runs": listed}, indent=2) + "\n")


def _compared(run: Rejudged, *, written: bool) -> str:
    if run.stored == "same":
        return "the stored verdict is the same, byte for byte"
    kept = _kept(run, written=written)
    if run.stored == "missing":
        return f"no verdict was stored; {kept}"
    more = len(run.differing) - _SHOWN_PATHS
    shown = ", ".join(run.differing[:_SHOWN_PATHS]) + (f" and {more} more" if more > 0 else "")
    where = f" at {shown}" if shown else ""
    told = f"the stored verdict differs{where}, it says {run.said or 'nothing'}"
    return f"{ascii(told)[1:-1]}; {kept}"  # the folder may be anybody's


def _kept(run: Rejudged, *, written: bool) -> str:
    if not run.can_be_stored:
        return "that one stays, for the evidence is damaged"
    return "this one is stored now" if written else "--write stores this one"


def _mistake(folder: Path) -> str:
    """Why *folder* cannot be judged; empty where it can."""
    try:
        if not folder.is_dir():
            what = "a file; name the run folder it lies in" if folder.exists() else "not there"
            return f"is {what}"
        is_run = is_run_folder(folder)
    except OSError as error:  # a name that is too long, a folder that is not ours to read
        return f"cannot be looked at: {error.strerror or error}"
    return "" if is_run else "is no run folder: there is no run.json in it"


def _no_run(outcome: Outcome, text: str) -> Rejudged:
    return Rejudged(replace(outcome, reasons=(Reason("no-run", text),)))


def _read(path: Path) -> str | None:
    """The text of a file; ``None`` where there is none, what cannot be decoded as it can."""
    try:
        return path.read_bytes().decode("utf-8", errors="backslashreplace")
    except OSError:
        return None


def _parsed(text: str) -> Any:
    """The value of JSON text; ``None`` where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _differing(stored: Any, made: Any, where: str) -> Iterator[str]:
    """The paths below *where* at which two documents differ; nothing where only spaces do."""
    if isinstance(stored, dict) and isinstance(made, dict):
        for key in dict.fromkeys((*made, *stored)):
            path = f"{where}.{key}" if where else str(key)
            if (key in stored) != (key in made):
                yield path
            elif key in made:
                yield from _differing(stored[key], made[key], path)
    elif isinstance(stored, list) and isinstance(made, list) and len(stored) == len(made):
        for number, pair in enumerate(zip(stored, made, strict=True)):
            yield from _differing(*pair, f"{where}[{number}]")
    elif type(stored) is not type(made) or stored != made:
        yield where or "all of it"


def _word(text: str) -> str | None:
    stored = _parsed(text)
    word = stored.get("verdict") if isinstance(stored, dict) else None
    return word if isinstance(word, str) else None


def _took(document: Mapping[str, Any]) -> float | None:
    """From the start of the run to its end, in seconds."""
    try:
        started, ended = map(datetime.fromisoformat, (document["started"], document["ended"]))
        return max(0.0, (ended - started).total_seconds())
    except (TypeError, ValueError):  # missing, or not what a run writes
        return None
