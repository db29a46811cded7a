"""Stored runs, judged again from their folders alone."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from k2chaos.cli import cli
from k2chaos.errors import UsageError
from k2chaos.evidence.folder import FILES
from k2chaos.evidence.reading import read_run
from k2chaos.evidence.samples import Sample, SampleWriter
from k2chaos.judge.document import verdict_document
from k2chaos.judging import judge_runs, write
from tests.fakes.observed import START
from tests.fakes.runs import fake_run


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A run's folder with its verdict, which is inconclusive: nothing was put to the test."""
    folder = fake_run(tmp_path).folder
    facts = {"schema": 1, "run": folder.run, "experiment": "trial", "pipeline": {"name": "lab"}}
    folder.write_json("run.json", facts)
    folder.write_json("journal.json", {"status": "completed"})
    folder.append_event("began")
    writer = SampleWriter(folder.path / "samples.arrows")
    for second in range(3):
        writer.append([Sample(START.replace(second=second), "api", "attempt_seconds", 0.1)])
    writer.close()
    folder.write_json("verdict.json", verdict_document(read_run(folder.path)))
    return folder.path


def test_the_same_evidence_gives_the_same_bytes(stored: Path) -> None:
    before = (stored / "verdict.json").read_bytes()

    (judged,) = judge_runs([str(stored)])

    assert "" == judged.differs
    assert before == judged.text.encode()
    assert "inconclusive" == judged.outcome.word


def test_evidence_that_was_changed_is_told_and_nothing_is_written_unasked(stored: Path) -> None:
    before = (stored / "verdict.json").read_bytes()
    (stored / "journal.json").write_text('{"status": "interrupted"}')

    (judged,) = judge_runs([str(stored)])

    assert "its stored verdict differs in reasons" == judged.differs
    assert before == (stored / "verdict.json").read_bytes()
    write([judged])
    assert judged.text.encode() == (stored / "verdict.json").read_bytes()


@pytest.mark.parametrize(
    "text, said", [(None, "no stored verdict"), ("{", "cannot be read"), ("[]", "cannot be read")]
)
def test_a_stored_verdict_that_is_none_is_told(stored: Path, text: str | None, said: str) -> None:
    if text is None:
        (stored / "verdict.json").unlink()
    else:
        (stored / "verdict.json").write_text(text)

    assert said in judge_runs([str(stored)])[0].differs


def test_another_layout_is_told(stored: Path) -> None:
    path = stored / "verdict.json"
    path.write_text(json.dumps(json.loads(path.read_text())))

    assert "its layout" in judge_runs([str(stored)])[0].differs


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith((".json", ".arrows"))])
def test_every_damaged_file_is_named_and_never_a_traceback(stored: Path, name: str) -> None:
    path = stored / name
    path.write_bytes(path.read_bytes()[:-20] if path.exists() else b"{")

    (judged,) = judge_runs([str(stored)])

    assert judged.document["verdict"] == "inconclusive"
    if name != "verdict.json":
        assert any(name in reason["text"] for reason in judged.document["reasons"])


def test_what_is_no_run_is_a_mistake_and_all_are_named(stored: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    empty = tmp_path / "empty"
    empty.mkdir()
    (foreign / "run.json").write_text('{"tool": "other"}')
    wrong = [tmp_path / "nowhere", stored / "journal.json", empty, foreign]

    with pytest.raises(UsageError) as caught:
        judge_runs([str(one) for one in (stored, *wrong)])

    lines = str(caught.value).splitlines()
    for path, line in zip(wrong, lines, strict=True):
        assert line.startswith(f"{path}: ")
        assert "journals/<run>" in line


def test_a_folder_that_is_gone_meanwhile_is_a_mistake(stored: Path) -> None:
    (judged,) = judge_runs([str(stored)])

    with pytest.raises(UsageError, match="cannot be written"):
        write([replace(judged, folder=stored / "gone")])


def test_the_command_exits_by_verdict_and_prints_the_table_or_json(stored: Path) -> None:
    runner = CliRunner()

    shown = runner.invoke(cli, ["judge", str(stored)], standalone_mode=False)
    as_json = runner.invoke(cli, ["judge", "--json", str(stored)], standalone_mode=False)

    assert (3, 3) == (shown.return_value, as_json.return_value)
    assert "inconclusive" in shown.output
    assert "trial" == json.loads(as_json.stdout)[0]["experiment"]


def test_the_command_says_where_a_verdict_differs_and_replaces_it_when_asked(stored: Path) -> None:
    path = stored / "verdict.json"
    right = path.read_bytes()
    path.write_text("{}")
    runner = CliRunner()

    said = runner.invoke(cli, ["judge", "--write", str(stored)], standalone_mode=False)

    assert "differs in" in said.stderr
    assert right == path.read_bytes()
