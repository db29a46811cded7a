"""The doctor: every row that is not ok says what to do, and the exit code follows the rows."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from k2chaos.doctor import Check, diagnose, exit_code
from k2chaos.doctor.table import print_checks, print_json
from k2chaos.errors import EngineUnreachable
from tests.fakes.runtime import FakeRuntime

PIPELINE = """
schema: 1
name: tiny
environment: lab
compose: {project: k2-lab}
services: {broker: kafka, sink: consumer-crypto}
record: {key: symbol, sequence: {field: trade_id}, event_time: timestamp}
"""


@dataclass
class FakeEngine(FakeRuntime):
    """A runtime in memory that can also say what it is."""

    rootless: str = "no"
    used: float = 0.5

    def facts(self) -> dict[str, str]:
        return {"version": "20.10", "cgroup": "v1", "rootless": self.rootless}

    def disk_used_ratio(self) -> float:
        return self.used


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("K2CHAOS_JOURNALS", str(tmp_path / "journals"))


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    engine.add("kafka")
    engine.add("consumer-crypto")
    return engine


def look(folder: Path, engine: FakeEngine, text: str = PIPELINE) -> dict[str, Check]:
    (folder / "tiny.yaml").write_text(text)
    return {check.name: check for check in diagnose(str(folder / "tiny.yaml"), lambda: engine)}


def test_all_that_is_needed_is_there(tmp_path: Path, engine: FakeEngine) -> None:
    checks = look(tmp_path, engine)

    assert exit_code(checks.values()) == 0, checks
    assert checks["sink consumer-crypto"].word == "ok"
    assert "cgroup v1" in checks["engine"].seen
    assert engine.sent == []


def test_a_service_that_is_missing_or_frozen_is_told(tmp_path: Path, engine: FakeEngine) -> None:
    kafka, consumer = engine.states
    engine.send(kafka, "pause")
    del engine.states[consumer]

    checks = look(tmp_path, engine)

    assert exit_code(checks.values()) == 3
    assert checks["broker kafka"].seen == "kafka is paused"
    assert checks["sink consumer-crypto"].seen == "consumer-crypto is missing"


def test_an_engine_that_is_down_is_told(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(PIPELINE)

    def refuse() -> FakeEngine:
        message = "no container engine answers at unix:///x: start it"
        raise EngineUnreachable(message)

    checks = {check.name: check for check in diagnose(str(tmp_path / "tiny.yaml"), refuse)}

    assert checks["engine"].word == "missing"
    assert exit_code(checks.values()) == 3


@pytest.mark.parametrize("text", ["schema: 2", "{", "[]"])
def test_a_pipeline_file_with_mistakes_exits_with_two(
    tmp_path: Path, engine: FakeEngine, text: str
) -> None:
    checks = look(tmp_path, engine, text)

    assert checks["pipeline file"].word == "mistake"
    assert exit_code(checks.values()) == 2


def test_a_stage_that_refuses_is_told(tmp_path: Path, engine: FakeEngine) -> None:
    api = 'api: {url: "http://127.0.0.1:9", key: "k"}\n'
    services = PIPELINE.replace("sink: consumer-crypto", "sink: consumer-crypto, api: kafka2")

    checks = look(tmp_path, engine, services + api)

    assert checks["stage api"].word == "unseen"
    assert exit_code(checks.values()) == 3


def test_a_full_engine_disk_is_told(tmp_path: Path, engine: FakeEngine) -> None:
    engine.used = 0.99

    assert look(tmp_path, engine)["engine's disk"].word == "missing"


def test_a_rootless_engine_is_a_note_that_does_not_count(
    tmp_path: Path, engine: FakeEngine
) -> None:
    engine.rootless = "yes"

    checks = look(tmp_path, engine)

    assert checks["rootless engine"].word == "note"
    assert exit_code(checks.values()) == 0


def test_an_abandoned_fault_is_told(tmp_path: Path, engine: FakeEngine) -> None:
    line: dict[str, Any] = {
        "schema": 1,
        "event": "tried",
        "fault_id": "f1",
        "at": "2026-01-01T00:00:00+00:00",
        "run": "gone",
        "pipeline": "tiny",
        "deadline": "2026-01-01T00:01:00+00:00",
        "fault": {"kind": "pause", "target": {"service": "kafka"}},
    }
    ledger = tmp_path / "state" / "k2chaos" / "faults" / "gone.jsonl"
    ledger.parent.mkdir(parents=True)
    ledger.write_text(json.dumps(line) + "\n")

    check = look(tmp_path, engine)["open faults"]

    assert check.seen == "pause of kafka, nobody answers for it"
    assert check.advice == "k2chaos heal"


def test_every_row_that_is_not_ok_says_what_to_do(tmp_path: Path) -> None:
    checks = look(tmp_path, FakeEngine())

    assert [check for check in checks.values() if check.word == "missing"]
    assert not [one for one in checks.values() if one.word not in {"ok", "note"} and not one.advice]


def test_the_rows_are_printed_for_people_and_for_programs(
    tmp_path: Path, engine: FakeEngine
) -> None:
    checks = [*look(tmp_path, engine).values()]
    people, programs = io.StringIO(), io.StringIO()

    print_checks(checks, people)
    print_json(checks, programs)

    assert "all that a run needs is there" in people.getvalue()
    document = json.loads(programs.getvalue())
    assert document["exit_code"] == 0
    assert {"name", "word", "seen", "advice"} == set(document["checks"][0])
