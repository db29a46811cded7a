"""The run folder: written as it happens, without secrets, readable again."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from k2chaos.errors import UsageError
from k2chaos.evidence.folder import BLOT, create_run_folder
from k2chaos.evidence.reading import read_run
from k2chaos.evidence.records import RECORDS
from k2chaos.evidence.samples import Sample, SampleWriter

NOW = datetime(2026, 11, 22, 15, 1, tzinfo=UTC)
RUN = {
    "schema": 1,
    "pipeline": {"stages": ["topic"], "promise": {"loss": "none"}, "budgets": {"x": 1}},
}


def test_a_run_folder_is_named_by_time_and_experiment(tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path, "broker-restart", NOW)
    again = create_run_folder(tmp_path, "broker-restart", NOW)

    assert "2026-11-22T15-01-00Z-broker-restart" == folder.run
    assert "2026-11-22T15-01-00Z-broker-restart-2" == again.run


def test_no_secret_reaches_the_disk(tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path, "x", NOW, ["hunter22", "ab"])
    folder.write_json("run.json", {"key": "hunter22", "hunter22": ["a hunter22 b"], "n": "ab"})
    folder.append_event("measured", text="Bearer hunter22")

    written = (folder.path / "run.json").read_text() + (folder.path / "events.jsonl").read_text()
    assert "hunter22" not in written
    assert 4 == written.count(BLOT)
    assert "ab" == json.loads((folder.path / "run.json").read_text())["n"]


def test_what_is_not_json_does_not_cut_a_file_short(tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path, "x", NOW)
    folder.write_json("journal.json", {"output": {1, 2}, "ratio": float("nan")})

    assert {"output": "{1, 2}", "ratio": "NaN"} == json.loads(
        (folder.path / "journal.json").read_text()
    )


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path, "x", NOW)
    folder.write_json("run.json", RUN)
    folder.write_json("journal.json", {"chaoslib-version": "1", "status": "completed"})
    folder.write_json("window.json", {"after": {"A": 1}, "until": {"A": 5}})
    for event in ("began", "recovery", "ended"):
        folder.append_event(event, recovered=True)
    folder.write_records("topic", RECORDS.empty_table())

    evidence = read_run(folder.path)

    assert () == evidence.damage
    assert "completed" == evidence.journal["status"]
    assert evidence.window is not None
    assert 4 == evidence.window.expected
    assert ["topic"] == list(evidence.records)
    assert True is evidence.events_named("recovery")[0]["recovered"]


@pytest.mark.parametrize(
    "name, content",
    [
        ("journal.json", "{"),
        ("journal.json", "[]"),
        ("run.json", "\x00"),
        ("events.jsonl", '{"at": '),
        ("events.jsonl", "[1]"),
        ("events.jsonl", '{"event": "began"}'),
        ("events.jsonl", '{"at": "2026-11-22T15:01:00Z"}'),
        ("events.jsonl", '{"at": "yesterday", "event": "began"}'),
        ("events.jsonl", "\x00"),
        ("events.jsonl", ""),
        ("events.jsonl", '{"at": "2026-11-22T15:01:00Z", "event": "began"}\n'),
        ("events.jsonl", '{"at": "2026-11-22T15:01:00Z", "event": "ended"}\n'),
        ("window.json", '{"after": {}}'),
        ("window.json", '{"after": {"A": null}, "until": {}}'),
        ("window.json", '{"after": 5, "until": {}}'),
        ("committed.json", '{"0": "first"}'),
        ("committed.json", '{"0": null}'),
        ("run.json", '{"schema": 2}'),
        ("run.json", '{"schema": 1}'),
        ("run.json", '{"schema": 1, "pipeline": {"stages": [], "promise": {}, "budgets": {}}}'),
        ("journal.json", '{"results": []}'),
        ("records/topic.parquet", "PAR1"),
    ],
)
def test_a_damaged_file_is_told_by_name(name: str, content: str, tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path, "x", NOW)
    folder.write_json("run.json", RUN)
    folder.write_json("journal.json", {"chaoslib-version": "1", "status": "completed"})
    folder.append_event("began")
    folder.append_event("ended")
    (folder.path / "records").mkdir()
    (folder.path / name).write_text(content)

    (damage,) = read_run(folder.path).damage

    assert damage.startswith(name)


def test_samples_are_read_back_and_their_damage_is_told_apart(tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path, "x", NOW)
    path = folder.path / "samples.arrows"
    assert None is read_run(folder.path).samples

    writer = SampleWriter(path)
    writer.append([Sample(NOW, "api", "newest_id", 42.0, "A")])
    whole = path.stat().st_size
    writer.append([Sample(NOW, "api", "newest_id", 43.0, "A")])
    writer.close()
    assert "" == read_run(folder.path).samples_damage

    os.truncate(path, whole + 100)
    evidence = read_run(folder.path)
    assert evidence.samples is not None
    assert 1 == evidence.samples.num_rows
    assert evidence.samples_damage.startswith("samples.arrows: ")


def test_samples_that_cannot_be_opened_are_damage(tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path, "x", NOW)
    (folder.path / "samples.arrows").mkdir()

    evidence = read_run(folder.path)

    assert None is evidence.samples
    assert evidence.samples_damage.startswith("samples.arrows: ")


def test_a_missing_journal_is_damage(tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path, "x", NOW)
    folder.write_json("run.json", RUN)
    folder.append_event("began")
    folder.append_event("ended")

    assert 1 == len(read_run(folder.path).damage)


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "journals").write_text("a file")

    with pytest.raises(UsageError, match="K2CHAOS_JOURNALS"):
        create_run_folder(tmp_path / "journals", "x", NOW)
