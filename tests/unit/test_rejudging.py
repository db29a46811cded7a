"""Stored runs are judged again from their folders alone, and come out the same."""

import io
import json
import os
import re
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from k2chaos.errors import UsageError
from k2chaos.evidence.records import MALFORMED, RECORDS
from k2chaos.evidence.samples import Sample, SampleWriter, read_samples
from k2chaos.launch.rejudging import (
    Rejudged,
    print_json,
    print_table,
    rejudge,
    verdict_text,
    write_verdicts,
)
from tests.fakes.observed import at
from tests.fakes.stored import stored_run

from .test_cli import k2chaos


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that passed."""
    return stored_run(tmp_path / "journals" / "2026-01-01T00-00-00Z-sink-pause")


def codes(judged: Rejudged) -> list[str]:
    return [reason.code for reason in judged.outcome.reasons]


def printed(*runs: Rejudged, written: bool = False) -> str:
    output = io.StringIO()
    print_table(runs, output, written=written)
    return output.getvalue()


@pytest.mark.parametrize("left", ["", "half"])
def test_a_ledger_that_lacks_a_fault_is_damage(left: str, run: Path) -> None:
    (run / "faults.jsonl").write_text(left)

    judged = rejudge(run)

    assert "evidence-damaged" in codes(judged)
    assert "faults.jsonl: it does not tell of pause-1, of which events.jsonl does" in printed(
        judged
    )


def test_the_same_evidence_gives_the_same_bytes(run: Path) -> None:
    judged = rejudge(run)

    assert ("pass", []) == (judged.outcome.word, codes(judged))
    assert "same" == judged.stored
    assert judged.document is not None
    assert (run / "verdict.json").read_bytes() == verdict_text(judged.document).encode()
    assert f"{run.name}: the stored verdict is the same, byte for byte" in printed(judged)
    assert "61.0 s" in printed(judged)


@pytest.mark.parametrize("stages", [(), ("topic", "table", "api"), ("exchange", "topic", "table")])
def test_pipelines_with_and_without_an_exchange_are_judged_the_same(
    stages: tuple[str, ...], tmp_path: Path
) -> None:
    run = stored_run(tmp_path / "run", *stages)

    judged = rejudge(run)

    assert ("pass", [], "same") == (judged.outcome.word, codes(judged), judged.stored)


@pytest.mark.parametrize("missing", ["journal.json", "run.json", "events.jsonl"])
def test_what_is_said_does_not_depend_on_where_the_folder_lies(missing: str, run: Path) -> None:
    (run / missing).unlink()
    (run / "records" / "api.parquet").write_bytes(b"PAR1")
    moved = run.parent / "elsewhere"
    shutil.copytree(run, moved)

    first, second = rejudge(run), rejudge(moved)

    assert first.document is not None
    assert first.document == second.document
    assert str(run.parent) not in verdict_text(first.document)


def test_a_verdict_that_was_touched_differs_and_is_replaced_only_when_told(run: Path) -> None:
    path = run / "verdict.json"
    genuine = path.read_bytes()
    path.write_text(path.read_text().replace('"pass"', '"fail"'))

    judged = rejudge(run)

    assert ("differs", "fail") == (judged.stored, judged.said)
    assert ("verdict",) == judged.differing
    assert "differs at verdict, it says fail; --write stores this one" in printed(judged)
    write_verdicts([run], [judged])
    assert genuine == path.read_bytes()
    assert "differs at verdict, it says fail; this one is stored now" in printed(
        judged, written=True
    )


def test_a_verdict_over_whole_evidence_is_never_replaced_by_one_over_damaged(run: Path) -> None:
    (run / "records" / "api.parquet").write_bytes(b"PAR1")
    genuine = (run / "verdict.json").read_bytes()

    judged = rejudge(run)
    write_verdicts([run], [judged])

    assert ("differs", "pass", "inconclusive") == (judged.stored, judged.said, judged.outcome.word)
    assert genuine == (run / "verdict.json").read_bytes()
    assert "it says pass; that one stays, for the evidence is damaged" in printed(judged)
    (run / "verdict.json").unlink()
    write_verdicts([run], [rejudge(run)])
    assert "same" == rejudge(run).stored


@pytest.mark.parametrize("text", ["[]", "{", '{"verdict": 3}', "\udcff"])
def test_a_stored_verdict_that_is_none_says_nothing(text: str, run: Path) -> None:
    (run / "verdict.json").write_bytes(text.encode("utf-8", "surrogateescape"))

    said = printed(rejudge(run))
    assert "the stored verdict differs at " in said
    assert ", it says nothing" in said


def test_it_is_told_where_two_verdicts_differ(run: Path) -> None:
    path = run / "verdict.json"
    stored = json.loads(path.read_text())
    del stored["claim"]
    stored |= {"colour": "blue", "not_checked": [], "schema": 0, "experiment": "x"}
    stored["faults"][0]["recovery"]["worst_freshness_seconds"] = -1
    path.write_text(json.dumps(stored))

    judged = rejudge(run)

    assert judged.differing == (
        "schema", "experiment", "claim", "not_checked",
        "faults[0].recovery.worst_freshness_seconds", "colour",
    )  # fmt: skip
    assert "recovery.worst_freshness_seconds and 1 more, it says pass" in printed(judged)


def test_spaces_are_no_place_at_which_verdicts_differ(run: Path) -> None:
    path = run / "verdict.json"
    path.write_text(json.dumps(json.loads(path.read_text())))

    judged = rejudge(run)

    assert ("differs", ()) == (judged.stored, judged.differing)
    assert "the stored verdict differs, it says pass" in printed(judged)


def test_a_run_that_died_before_its_verdict_gets_one(run: Path) -> None:
    (run / "verdict.json").unlink()

    judged = rejudge(run)
    write_verdicts([run], [judged])

    assert "missing" == judged.stored
    assert "no verdict was stored; --write stores this one" in printed(judged)
    assert "same" == rejudge(run).stored


def test_a_verdict_that_cannot_be_stored_is_one_clear_error(run: Path) -> None:
    judged = rejudge(run)
    shutil.rmtree(run)

    with pytest.raises(UsageError, match="cannot write"):
        write_verdicts([run], [Rejudged(judged.outcome, judged.document)])


def _truncated(name: str, share: float) -> Callable[[Path], None]:
    return lambda run: os.truncate(run / name, int((run / name).stat().st_size * share))


def _replaced(name: str, text: str) -> Callable[[Path], None]:
    def replace(run: Path) -> None:
        (run / name).write_text(text)

    return replace


def _removed(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).unlink()


def _emptied(stage: str) -> Callable[[Path], None]:
    """No record of *stage* says anything any more."""

    def empty(run: Path) -> None:
        path = run / "records" / f"{stage}.parquet"
        rows = pq.read_table(path)
        nothing = pa.nulls(len(rows), pa.int64())
        pq.write_table(rows.set_column(3, RECORDS.field("digest"), nothing), path)

    return empty


def _cut(name: str, lines: int) -> Callable[[Path], None]:
    """Only the first *lines* are left, each of them whole."""

    def cut(run: Path) -> None:
        kept = (run / name).read_text().splitlines(keepends=True)[:lines]
        (run / name).write_text("".join(kept))

    return cut


def _stepped_back(run: Path) -> None:
    """Half of the samples are of a clock that was set back by 20 s."""
    table, _ = read_samples(run / "samples.arrows")
    rows = [Sample(**row) for row in table.to_pylist()]
    middle = len(rows) // 2
    back = [one._replace(at=one.at - timedelta(seconds=20)) for one in rows[middle:]]
    (run / "samples.arrows").unlink()
    writer = SampleWriter(run / "samples.arrows")
    writer.append([*rows[:middle], *back])
    writer.close()


SPOILT: list[tuple[Callable[[Path], None], str]] = [
    (_truncated("samples.arrows", 0.5), "observer-blind"),
    (_truncated("samples.arrows", 0.0), "observer-blind"),
    (_removed("samples.arrows"), "observer-blind"),
    (_replaced("samples.arrows", "time,value\n1,2\n"), "observer-blind"),
    (_stepped_back, "clock-stepped"),
    (_replaced("journal.json", '{"name": "a load test", "results": []}'), "evidence-damaged"),
    (_replaced("journal.json", "PASS\n"), "evidence-damaged"),
    (_removed("journal.json"), "evidence-damaged"),
    (_replaced("run.json", '{"schema": 7}'), "evidence-damaged"),
    (_replaced("run.json", '{"schema": 1, "pipeline": "lab"}'), "evidence-damaged"),
    (_replaced("run.json", '{"schema": 1, "pipeline": {"budgets": 3}}'), "evidence-damaged"),
    (_removed("run.json"), "evidence-damaged"),
    (_truncated("events.jsonl", 0.5), "evidence-damaged"),
    (_removed("events.jsonl"), "evidence-damaged"),
    *((_cut("events.jsonl", lines), "evidence-damaged") for lines in range(4)),
    (_removed("faults.jsonl"), "fault-not-injected"),
    (_removed("window.json"), "too-few-records"),
    (_truncated("window.json", 0.5), "evidence-damaged"),
    (_removed("records/api.parquet"), "not-audited"),
    (_replaced("window.json", "{}"), "evidence-damaged"),
    (_replaced("committed.json", "[1]"), "evidence-damaged"),
    (_replaced("manifest.json", "3"), "evidence-damaged"),
    (_truncated("records/api.parquet", 0.5), "evidence-damaged"),
    (_removed("records/exchange.parquet"), "not-audited"),
    (_emptied("api"), "not-audited"),
    (_emptied("exchange"), "not-audited"),
]


@pytest.mark.parametrize("spoil, code", SPOILT)
def test_spoilt_evidence_is_inconclusive_by_name(
    spoil: Callable[[Path], None], code: str, run: Path
) -> None:
    spoil(run)

    judged = rejudge(run)

    assert "inconclusive" == judged.outcome.word
    assert code in codes(judged)
    assert not re.search(r"\w(Error|Exception)\b", printed(judged))


@pytest.mark.parametrize(
    "name", ["records/malformed.parquet", "records/letters.parquet", "committed.json"]
)
def test_a_topic_without_what_lies_beside_its_records_is_not_audited(
    name: str, tmp_path: Path
) -> None:
    run = stored_run(tmp_path / "run", "topic", "table", "api")
    (run / name).unlink()

    judged = rejudge(run)

    assert ("inconclusive", ["not-audited"]) == (judged.outcome.word, codes(judged))


def test_a_value_of_which_nobody_knows_whether_it_was_dropped_is_no_pass(tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run", "exchange", "topic", "table", "api")
    poison = {"partition": 3, "offset": 7, "reason": "magic byte 1", "tag": "t-1"}
    values = pa.Table.from_pylist([poison], schema=MALFORMED)
    pq.write_table(values, run / "records" / "malformed.parquet")

    judged = rejudge(run)

    assert ("inconclusive", ["not-audited"]) == (judged.outcome.word, codes(judged))
    assert "its group has no offset in partition 3" in printed(judged)


def test_content_that_the_exchange_has_forgotten_was_held_against_nothing(tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run", "exchange", "topic", "table", "api")
    path = run / "records" / "exchange.parquet"
    pq.write_table(pq.read_table(path).slice(300), path)

    judged = rejudge(run)

    assert ("inconclusive", ["not-audited"]) == (judged.outcome.word, codes(judged))
    assert "exchange: what 300 of its records said it no longer knows" in printed(judged)


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda _path: None])
def test_what_is_no_run_is_a_usage_error_with_one_reason(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "it")

    judged = rejudge(tmp_path / "it")

    assert ("usage", ["no-run"]) == (judged.outcome.word, codes(judged))
    assert "it is " in printed(judged)


def test_a_name_that_is_too_long_is_a_usage_error(tmp_path: Path) -> None:
    judged = rejudge(tmp_path / ("a" * 300))

    assert ("usage", ["no-run"]) == (judged.outcome.word, codes(judged))
    assert "cannot be looked at: File name too long" in printed(judged)


def test_text_that_utf_8_cannot_hold_is_escaped_and_judged(run: Path, tmp_path: Path) -> None:
    events = run / "events.jsonl"
    line = {"at": at(50).isoformat(), "event": "not-audited", "stage": "api", "reason": "\ud800"}
    events.write_text(events.read_text() + json.dumps(line) + "\n")

    result = k2chaos("judge", "--write", str(run), folder=tmp_path, PYTHONIOENCODING="utf-8:strict")

    assert (3, "") == (result.returncode, result.stderr)
    assert "not-audited: api: \\ud800" in result.stdout
    assert "same" == rejudge(run).stored


EXAMPLES = int(os.environ.get("K2CHAOS_FUZZ_EXAMPLES", "40"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([-1, 0, 3, 10**12, 10**30, 0.5])
    | st.text("ab:1-", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=4,
)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_the_files_there_is_a_verdict_with_its_reasons(
    data: st.DataObject, run: Path
) -> None:
    """One value anywhere in one of the JSON files is replaced by another."""
    folder = run.parent / "spoilt"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(run, folder)
    name = data.draw(st.sampled_from(["run.json", "journal.json", "window.json", "events.jsonl"]))
    path = folder / name
    lines = path.read_text().splitlines() if name.endswith("l") else [path.read_text()]
    number = data.draw(st.integers(0, len(lines) - 1))
    tree = json.loads(lines[number])
    keys = data.draw(st.sampled_from([*_places(tree)]))
    _put(tree, keys, data.draw(JSON))
    lines[number] = json.dumps(tree)
    path.write_text("\n".join(lines) + "\n")

    judged = rejudge(folder)

    assert judged.outcome.word in {"pass", "fail", "inconclusive"}
    assert judged.outcome.word == "pass" or judged.outcome.reasons


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node)
    found = []
    for key, value in inner:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += _places(value, (*path, key))
    return found


def _put(tree: Any, keys: tuple[Any, ...], value: Any) -> None:
    for key in keys[:-1]:
        tree = tree[key]
    tree[keys[-1]] = value


def test_json_tells_every_run_with_its_whole_verdict(run: Path, tmp_path: Path) -> None:
    output = io.StringIO()

    print_json([rejudge(run), rejudge(tmp_path / "none")], output)

    first, second = json.loads(output.getvalue())["runs"]
    assert ("pass", "same", "pass") == (first["outcome"], first["stored"], first["stored_verdict"])
    assert json.loads((run / "verdict.json").read_text()) == first["verdict"]
    assert (None, "usage", "no-run") == (
        second["verdict"], second["outcome"], second["reasons"][0]["code"],
    )  # fmt: skip


def test_the_command_judges_from_any_directory_without_an_engine(run: Path, tmp_path: Path) -> None:
    nowhere = {"DOCKER_HOST": "unix:///nowhere.sock"}

    result = k2chaos("judge", os.path.relpath(run, tmp_path), folder=tmp_path, **nowhere)

    assert (0, "") == (result.returncode, result.stderr)
    assert "byte for byte" in result.stdout


def test_over_several_runs_the_worst_decides_and_all_are_judged(run: Path, tmp_path: Path) -> None:
    failed = stored_run(tmp_path / "failed")
    _removed("faults.jsonl")(failed)

    assert 3 == k2chaos("judge", str(run), str(failed), folder=tmp_path).returncode
    result = k2chaos("judge", str(run), str(failed), "no such run", folder=tmp_path)

    assert 2 == result.returncode
    assert "no such run is not there" in result.stdout
    assert "fault-not-injected" in result.stdout
    assert "Traceback" not in result.stderr
    document = json.loads(k2chaos("judge", "--json", str(failed), folder=tmp_path).stdout)
    assert "inconclusive" == document["runs"][0]["outcome"]
    (run / "verdict.json").unlink()
    assert 3 == k2chaos("judge", "--write", str(run), str(failed), folder=tmp_path).returncode
    assert ("same", "differs") == (rejudge(run).stored, rejudge(failed).stored)
