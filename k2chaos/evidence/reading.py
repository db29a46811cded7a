"""
Reading a run folder back: all that the judge may know.

A file that is missing or damaged is told as such in `RunEvidence.damage`, never guessed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from k2chaos.errors import in_words
from k2chaos.evidence.folder import AT_DEADLINE, AUDIT, MANIFEST
from k2chaos.evidence.ledger import LedgerReading, read_ledger
from k2chaos.evidence.manifest import changes_since
from k2chaos.evidence.records import Window
from k2chaos.evidence.samples import SAMPLES_FILE, read_samples
from k2chaos.pipeline import STAGES

SCHEMA: Final = 1
"""Of ``run.json``."""
DISTURBANCES: Final = ("fault", "injection")
"""The events that say what a run did to its pipeline."""

_SPANS: Final = ("after", "until")
_EDGES: Final = ("began", "ended")
"""The events between which all others lie: without them some are missing, or the run was killed."""
_PIPELINE: Final = ("stages", "promise", "budgets")
"""What ``run.json`` has to say of the pipeline: what every run is judged by."""
_JOURNAL_MARK: Final = "chaoslib-version"
_TELLING: Final = ("run.json", "journal.json", "events.jsonl", "faults.jsonl")


@dataclass(frozen=True, slots=True)
class RunEvidence:
    """
    One run as its folder tells it.

    Attributes:
        run: ``run.json``.
        journal: Chaos Toolkit's journal; empty where there is none.
        window: The records the run answers for; ``None`` where it could not be determined.
        records: What was seen, by stage; a stage that could not be read is not in it.
        at_deadline: What a stage showed at its deadline that had not all of it then.
        letters: The dead letters of the run; ``None`` where nobody could look.
        malformed: Values of the topic that are no record; ``None`` likewise.
        committed: By partition, what the sink's group had committed; ``None`` likewise.
        damage: What of the folder could not be read, a line each.
        samples: What the observer wrote, as far as it can be read; ``None`` where it wrote nothing.
        samples_damage: Why it cannot be read to its end; empty where it can.
    """

    run: Mapping[str, Any]
    journal: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    ledger: LedgerReading
    window: Window | None
    records: Mapping[str, pa.Table]
    damage: tuple[str, ...]
    at_deadline: Mapping[str, pa.Table] = field(default_factory=dict)
    letters: pa.Table | None = None
    malformed: pa.Table | None = None
    committed: Mapping[int, int] | None = None
    samples: pa.Table | None = None
    samples_damage: str = ""

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of the run's pipeline, in the order of the data; none where it tells none."""
        return tuple(self.run.get("pipeline", {}).get("stages") or ())

    @property
    def audited_stages(self) -> tuple[str, ...]:
        """Those whose records the run answers for; of a run that tells of no stage, the API's."""
        return tuple(stage for stage in self.stages if stage != "exchange") or ("api",)

    def events_named(self, name: str) -> tuple[Mapping[str, Any], ...]:
        """The events called *name*, in their order."""
        return tuple(event for event in self.events if event.get("event") == name)


def read_run(path: Path) -> RunEvidence:
    """
    Read the run folder at *path*. What is read does not depend on where it lies.

    Whatever the folder holds, this raises nothing; what it does not tell is empty.
    """
    damage: list[str] = []
    run = _known(_read_object(path / "run.json", damage), damage)
    has_journal = run.get("kind") != AUDIT  # an audit has no experiment
    journal = _read_journal(path / "journal.json", damage) if has_journal else {}
    events = _read_events(path / "events.jsonl", damage)
    ledger = read_ledger(path / "faults.jsonl")
    damage += _untold(events, ledger)
    damage += _changes(path, run, events)
    tables = _read_records(path / "records", damage)
    samples, samples_damage = _read_samples(path / SAMPLES_FILE)
    return RunEvidence(
        run=run,
        journal=journal,
        events=events,
        ledger=ledger,
        window=_read_window(path / "window.json", damage),
        records={stage: tables[stage] for stage in STAGES if stage in tables},
        at_deadline={
            stage: tables[late] for stage in STAGES if (late := f"{stage}{AT_DEADLINE}") in tables
        },
        letters=tables.get("letters"),
        malformed=tables.get("malformed"),
        committed=_read_committed(path / "committed.json", damage),
        damage=tuple(_without_place(line, path) for line in (*damage, *ledger.unreadable)),
        samples=samples,
        samples_damage=_without_place(samples_damage, path),
    )


def _untold(events: Sequence[Mapping[str, Any]], ledger: LedgerReading) -> Iterator[str]:
    """Faults that were held, by the events, and that the ledger does not know."""
    known = {entry.fault_id for entry in ledger.entries}
    for event in events:
        fault_id = event.get("fault_id")
        if event["event"] in DISTURBANCES and fault_id and fault_id not in known:
            yield f"faults.jsonl: it does not tell of {fault_id}, of which events.jsonl does"


def _changes(
    path: Path, run: Mapping[str, Any], events: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """What was changed since the run ended; nothing of one that did not end or kept no manifest."""
    is_expected = "manifest" in run and any(event["event"] == _EDGES[1] for event in events)
    if is_expected or (path / MANIFEST).exists():
        yield from changes_since(path)


def is_run_folder(path: Path) -> bool:
    """Whether anything in *path* is of a run."""
    return any((path / name).is_file() for name in _TELLING)


def _without_place(line: str, folder: Path) -> str:
    return line.replace(f"{folder}/", "")


def _known(run: dict[str, Any], damage: list[str]) -> dict[str, Any]:
    """``run.json`` where it is one, of a schema that we know."""
    if not run:
        return run
    pipeline = run.get("pipeline", {})
    if run.get("schema") != SCHEMA or not isinstance(pipeline, dict):
        damage.append(f"run.json: not of k2chaos, or not of schema {SCHEMA}")
        return {}
    lacking = [name for name in _PIPELINE if not pipeline.get(name)]
    if lacking:
        damage.append(f"run.json: the {', '.join(lacking)} of its pipeline are missing")
    return run


def _read_journal(path: Path, damage: list[str]) -> dict[str, Any]:
    journal = _read_object(path, damage)
    if journal and _JOURNAL_MARK not in journal:
        damage.append(f"{path.name}: not a journal of Chaos Toolkit ({_JOURNAL_MARK} is missing)")
        return {}
    return journal


def _read_object(path: Path, damage: list[str]) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        damage.append(f"{path.name}: {in_words(error)}")
        return {}
    if not isinstance(value, dict):
        damage.append(f"{path.name}: an object is expected")
        return {}
    return value


def _read_events(path: Path, damage: list[str]) -> list[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        damage.append(f"{path.name}: {in_words(error)}")
        return []
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            events.append(_event(line))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            damage.append(f"{path.name}:{number}: {in_words(error)}")
    lacking = [name for name in _EDGES if all(event["event"] != name for event in events)]
    if lacking and len(events) == len(lines):
        damage.append(f"{path.name}: it does not say that the run {' and '.join(lacking)}")
    return events


def _event(line: bytes) -> dict[str, Any]:
    event: dict[str, Any] = {**json.loads(line)}
    datetime.fromisoformat(event["at"])
    return {**event, "event": str(event["event"])}


def _read_window(path: Path, damage: list[str]) -> Window | None:
    if not path.exists():
        return None
    value = _read_object(path, damage)
    try:
        spans = [{str(key): int(last) for key, last in value[name].items()} for name in _SPANS]
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        damage.append(f"{path.name}: {in_words(error)}")
        return None
    return Window(*spans)


def _read_committed(path: Path, damage: list[str]) -> dict[int, int] | None:
    if not path.exists():
        return None
    try:
        return {int(one): int(offset) for one, offset in _read_object(path, damage).items()}
    except (TypeError, ValueError) as error:
        damage.append(f"{path.name}: {in_words(error)}")
        return None


def _read_records(folder: Path, damage: list[str]) -> dict[str, pa.Table]:
    records = {}
    for path in sorted(folder.glob("*.parquet")):
        try:
            records[path.stem] = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            damage.append(f"records/{path.name}: {error}")
    return records


def _read_samples(path: Path) -> tuple[pa.Table | None, str]:
    try:
        samples, damage = read_samples(path)
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"{path.name}: {in_words(error)}"
    # In one piece: a batch a quarter of a second makes a thousand pieces, each looked at by itself.
    return samples.combine_chunks(), f"{path.name}: {damage}" if damage else ""
