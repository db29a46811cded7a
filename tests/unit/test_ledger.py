"""The ledger: on disk before the fault is, readable whatever happened to it."""

import json
import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from k2chaos.errors import RunError
from k2chaos.evidence.ledger import FaultLedger, _take_back, read_ledger, read_state_ledgers

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FAULT = {"kind": "pause", "target": {"engine": "fake://", "project": "p", "service": "kafka"}}


@pytest.fixture
def ledger(tmp_path: Path) -> FaultLedger:
    (tmp_path / "faults").mkdir()
    (tmp_path / "run").mkdir()
    return FaultLedger(
        "run-1", "lab", (tmp_path / "faults" / "run-1.jsonl", tmp_path / "run" / "faults.jsonl")
    )


def test_both_copies_hold_the_same_lines(ledger: FaultLedger) -> None:
    ledger.tried("pause-1", FAULT, NOW + timedelta(seconds=5), at=NOW)
    ledger.active("pause-1", {"status": "paused"}, at=NOW)

    assert ledger.paths[0].read_text() == ledger.paths[1].read_text()


def test_a_fault_is_open_until_it_is_healed_whatever_failed_before(ledger: FaultLedger) -> None:
    ledger.tried("pause-1", FAULT, NOW, at=NOW)
    ledger.failed("pause-1", "the engine is gone", at=NOW)
    before = read_ledger(ledger.paths[0]).open
    ledger.healed("pause-1", {}, at=NOW)

    assert ["pause-1"] == [entry.fault_id for entry in before]
    assert () == read_ledger(ledger.paths[0]).open


def test_a_last_line_cut_short_is_no_line(ledger: FaultLedger) -> None:
    ledger.tried("pause-1", FAULT, NOW, at=NOW)
    with ledger.paths[0].open("a") as file:
        file.write('{"event": "healed", "fault_id": "pause-1", "at": "2026-')

    reading = read_ledger(ledger.paths[0])

    assert 1 == len(reading.open)
    assert () == reading.unreadable


def test_any_other_unreadable_line_is_told(ledger: FaultLedger) -> None:
    ledger.tried("pause-1", FAULT, NOW, at=NOW)
    with ledger.paths[0].open("a") as file:
        file.write("rubbish\n")
    ledger.active("pause-1", {}, at=NOW)

    reading = read_ledger(ledger.paths[0])

    assert 1 == len(reading.unreadable)
    assert "run-1.jsonl:2" in reading.unreadable[0]
    assert reading.entries[0].was_witnessed


@pytest.mark.parametrize("missing", ["fault", "deadline", "run", "pipeline", "at", "fault_id"])
def test_a_line_that_lacks_what_healing_needs_is_unreadable(
    missing: str, ledger: FaultLedger
) -> None:
    ledger.tried("pause-1", FAULT, NOW, at=NOW)
    line = json.loads(ledger.paths[0].read_text())
    del line[missing]
    ledger.paths[0].write_text(json.dumps(line) + "\n")

    reading = read_ledger(ledger.paths[0])

    assert () == reading.entries
    assert 1 == len(reading.unreadable)


def test_the_state_copy_goes_once_all_is_healed_and_the_run_copy_stays(
    ledger: FaultLedger,
) -> None:
    ledger.tried("pause-1", FAULT, NOW, at=NOW)
    ledger.close()
    still_there = ledger.paths[0].exists()
    ledger.healed("pause-1", {}, at=NOW)
    ledger.close()

    assert still_there
    assert not ledger.paths[0].exists()
    assert ledger.paths[1].exists()


def test_the_ledgers_of_all_runs_are_read_together(ledger: FaultLedger, tmp_path: Path) -> None:
    other = FaultLedger("run-2", "k2", (tmp_path / "faults" / "run-2.jsonl",))
    ledger.tried("pause-1", FAULT, NOW, at=NOW)
    other.tried("kill-2", FAULT, NOW, at=NOW)

    assert {"run-1", "run-2"} == {entry.run for entry in read_state_ledgers(tmp_path).open}


def test_a_ledger_that_is_not_there_reads_as_empty(tmp_path: Path) -> None:
    assert () == read_ledger(tmp_path / "none.jsonl").entries


def test_behind_a_line_that_was_cut_off_a_heal_is_still_read(ledger: FaultLedger) -> None:
    ledger.tried("pause-1", FAULT, NOW, at=NOW)
    with ledger.paths[0].open("a") as file:
        file.write('{"schema": 1, "event": "act')

    ledger.healed("pause-1", {}, at=NOW)

    assert () == read_ledger(ledger.paths[0]).open
    assert 1 == len(read_ledger(ledger.paths[0]).unreadable)


def test_half_a_line_on_a_disk_that_is_full_is_taken_back(ledger: FaultLedger) -> None:
    ledger.tried("pause-1", FAULT, NOW, at=NOW)
    before = [path.read_bytes() for path in ledger.paths]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before[0]) + 20, limits[1]))
    try:
        with pytest.raises(RunError, match="No space left"):
            ledger.active("pause-1", {}, at=NOW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert before == [path.read_bytes() for path in ledger.paths]


def test_only_the_end_of_a_ledger_is_ever_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    path.write_text("mine\nanother's\n")

    _take_back(path, "mine\n")
    assert "mine\nanother's\n" == path.read_text()
    _take_back(path, "another's\n")
    assert "mine\n" == path.read_text()


def test_a_ledger_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    reading = read_ledger(tmp_path)

    assert () == reading.entries
    assert "Is a directory" in reading.unreadable[0]
