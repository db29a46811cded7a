"""The manifest: whatever is done to a run folder after its run is told, whatever is not is not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from k2chaos.evidence.folder import MANIFEST, RunFolder
from k2chaos.evidence.ledger import FaultLedger
from k2chaos.evidence.manifest import write_manifest
from k2chaos.evidence.reading import read_run
from k2chaos.evidence.samples import SAMPLES_FILE
from k2chaos.judge.document import verdict_document
from tests.fakes.observed import at
from tests.fakes.stored import stored_run


def _edit_json(name: str, edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        value = json.loads((run / name).read_text())
        edit(value)
        (run / name).write_text(json.dumps(value))

    return change


def _cut_line(name: str, number: int) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        lines = (run / name).read_text().splitlines(keepends=True)
        del lines[number]
        (run / name).write_text("".join(lines))

    return change


CHANGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a key of run.json": ("run.json", _edit_json("run.json", lambda run: run.pop("claim"))),
    "the key that asks for a manifest": (
        "run.json",
        _edit_json("run.json", lambda run: run.pop("manifest")),
    ),
    "a budget": (
        "run.json",
        _edit_json("run.json", lambda run: run["pipeline"]["budgets"].update(freshness_seconds=99)),
    ),
    "a key of the journal": (
        "journal.json",
        _edit_json("journal.json", lambda journal: journal.pop("run")),
    ),
    "a line of the events": ("events.jsonl", _cut_line("events.jsonl", 2)),
    "an event more": (
        "events.jsonl",
        lambda run: RunFolder(run).append_event("recovery", at=at(50), recovered=True),
    ),
    "a line of the ledger": ("faults.jsonl", _cut_line("faults.jsonl", 1)),
    "the end of the ledger": ("faults.jsonl", _cut_line("faults.jsonl", -1)),
    "an id of the window": (
        "window.json",
        _edit_json("window.json", lambda window: window["until"].update(A=10)),
    ),
    "the committed offsets": ("committed.json", lambda run: (run / "committed.json").unlink()),
    "a stage": ("records/api.parquet", lambda run: (run / "records" / "api.parquet").unlink()),
    "a stage for another": (
        "records/topic.parquet",
        lambda run: (run / "records" / "topic.parquet").replace(run / "records" / "api.parquet"),
    ),
    "a stage more": (
        "records/table.parquet",
        lambda run: (run / "records" / "table.parquet").write_bytes(
            (run / "records" / "topic.parquet").read_bytes()
        ),
    ),
    "a byte of the samples": (
        "samples.arrows",
        lambda run: _flip(run / SAMPLES_FILE),
    ),
    "a fault more": ("faults.jsonl", lambda run: _append(run, "tried", "kill-2")),
    "a witness more": ("faults.jsonl", lambda run: _append(run, "active", "pause-1")),
    "a heal of no fault": ("faults.jsonl", lambda run: _append(run, "healed", "kill-2")),
    "rubbish behind the ledger": (
        "faults.jsonl",
        lambda run: (run / "faults.jsonl").write_text((run / "faults.jsonl").read_text() + "rub"),
    ),
    "a size that is none": (
        MANIFEST,
        _edit_json(MANIFEST, lambda it: it["files"]["run.json"].update(bytes=float("inf"))),
    ),
    "the manifest": (MANIFEST, lambda run: (run / MANIFEST).unlink()),
    "the manifest's text": (MANIFEST, lambda run: (run / MANIFEST).write_text("{")),
    "the manifest's schema": (MANIFEST, _edit_json(MANIFEST, lambda it: it.update(schema=2))),
    "the manifest's files": (MANIFEST, _edit_json(MANIFEST, lambda it: it.update(files=[1]))),
}


def _append(run: Path, event: str, fault_id: str) -> None:
    line = {"schema": 1, "event": event, "fault_id": fault_id, "at": at(40).isoformat(), "seen": {}}
    with (run / "faults.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that passes, with its manifest."""
    path = stored_run(tmp_path / "run", "exchange", "topic", "api")
    _edit_json("run.json", lambda run: run.update(manifest=MANIFEST))(path)
    write_manifest(path)
    return path


def test_a_folder_that_nobody_touched_is_whole(run: Path) -> None:
    (run / "chaostoolkit.log").write_text("one line more")
    (run / "notes.txt").write_text("ours")

    assert () == read_run(run).damage
    assert "pass" == verdict_document(read_run(run))["verdict"]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_was_changed_since_is_told_and_never_a_pass(run: Path, change: str) -> None:
    name, apply = CHANGES[change]
    apply(run)

    evidence = read_run(run)
    document = verdict_document(evidence)

    told = [line for line in evidence.damage if line.startswith(f"{name}: ")]
    assert told
    assert "pass" != document["verdict"]
    assert "evidence-damaged" in {reason["code"] for reason in document["reasons"]}


def test_a_fault_that_is_healed_later_is_no_damage(run: Path) -> None:
    ledger = FaultLedger(run.name, "k2-lab", (run.parent / "state.jsonl", run / "faults.jsonl"))
    ledger.failed("pause-1", "not yet", at=at(200))
    ledger.healed("pause-1", {"status": "running"}, at=at(300))

    assert () == read_run(run).damage


def test_a_run_that_kept_no_manifest_is_judged_without_one(tmp_path: Path) -> None:
    assert () == read_run(stored_run(tmp_path / "run")).damage


def test_a_run_that_was_killed_is_not_said_to_lack_its_manifest(run: Path) -> None:
    _cut_line("events.jsonl", -1)(run)
    (run / MANIFEST).unlink()

    assert not [line for line in read_run(run).damage if MANIFEST in line]
