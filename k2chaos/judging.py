"""
Judging stored runs again: from their folders alone, without an engine, on any machine.

The same evidence gives the same bytes; where the stored verdict is another one, the evidence was
changed since, or a judge of another version wrote it, and that is said.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from k2chaos.errors import UsageError
from k2chaos.evidence.folder import redacted_json
from k2chaos.evidence.reading import read_run
from k2chaos.evidence.state import write_atomically
from k2chaos.judge.document import verdict_document
from k2chaos.launch.outcome import Outcome, of_verdict

_VERDICT: Final = "verdict.json"


@dataclass(frozen=True, slots=True)
class Judged:
    """
    One run, judged again.

    Attributes:
        document: What ``verdict.json`` has to say.
        differs: How the stored one differs; empty where it is the same, byte for byte.
    """

    folder: Path
    document: dict[str, Any]
    differs: str

    @property
    def text(self) -> str:
        """The document as it is stored."""
        return _text(self.document)

    @property
    def outcome(self) -> Outcome:
        """As the summary of a run has it."""
        return of_verdict(self.folder.name, self.document, str(self.folder))


def judge_runs(folders: Iterable[str]) -> list[Judged]:
    """
    Judge every one of *folders*.

    Raises:
        UsageError: Some are no runs of k2chaos; all of them are named, and none is judged.
    """
    paths = [Path(folder) for folder in folders]
    problems = [problem for path in paths if (problem := _problem(path))]
    if problems:
        raise UsageError("\n".join(problems))
    return [_judged(path) for path in paths]


def write(judged: Sequence[Judged]) -> None:
    """
    Replace the stored verdicts.

    Raises:
        UsageError: A folder cannot be written to.
    """
    for one in judged:
        try:
            write_atomically(one.folder / _VERDICT, one.text)
        except OSError as error:
            message = f"{one.folder / _VERDICT} cannot be written: {error}"
            raise UsageError(message) from error


def _problem(path: Path) -> str:
    """Why *path* is no run folder; empty where it is one, damaged or not."""
    want = "give the folder of a run, such as journals/<run>"
    if not path.exists():
        return f"{path}: there is nothing; {want}"
    if not path.is_dir():
        return f"{path}: is a file; {want}"
    if not (path / "run.json").exists():
        return f"{path}: has no run.json, so it is no run of k2chaos; {want}"
    try:
        facts = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""  # damaged evidence is the judge's business
    if not isinstance(facts, dict) or not {"schema", "run", "pipeline"} <= facts.keys():
        return f"{path}: its run.json is that of another tool; {want}"
    return ""


def _judged(path: Path) -> Judged:
    document = verdict_document(read_run(path))
    return Judged(path, document, _difference(path / _VERDICT, document))


def _difference(path: Path, document: dict[str, Any]) -> str:
    try:
        stored = path.read_bytes()
    except OSError:
        return "it has no stored verdict"
    if stored == _text(document).encode():
        return ""
    try:
        before = json.loads(stored)
        names = [name for name in document if before.get(name) != document[name]]
    except (ValueError, AttributeError):
        return "its stored verdict cannot be read"
    return f"its stored verdict differs in {', '.join(names) or 'its layout'}"


def _text(document: dict[str, Any]) -> str:
    return redacted_json(document, (), indent=2) + "\n"
