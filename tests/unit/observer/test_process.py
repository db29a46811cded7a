"""The observer as a run has it: a process of its own that dies without harm."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from k2chaos.evidence.folder import RunFolder
from k2chaos.evidence.reading import read_run
from k2chaos.evidence.samples import SAMPLES_FILE
from k2chaos.system.observer.keeper import Observer
from tests.fakes.api import KEY, FakeApi, fake_api
from tests.fakes.exchange import FakeExchange, fake_exchange

PATIENCE = 30.0
NO_ENGINE = "unix:///nowhere/docker.sock"
RUN = """
import os, signal, sys
from pathlib import Path
from k2chaos.evidence.folder import RunFolder
from k2chaos.system.observer.keeper import Observer

observer = Observer(RunFolder(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3])
observer.begin()
print(observer.pid, flush=True)
sys.stdin.read(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass
class Bench:
    """A pipeline of an exchange and an API, and a run folder."""

    exchange: FakeExchange
    api: FakeApi
    pipeline: Path
    folder: RunFolder

    def observer(self) -> Observer:
        return Observer(self.folder, self.pipeline, NO_ENGINE)

    def samples(self) -> pa.Table:
        samples = read_run(self.folder.path).samples
        assert samples is not None
        return samples

    def count(self, **wanted: object) -> int:
        rows = self.samples().to_pylist() if (self.folder.path / SAMPLES_FILE).exists() else []
        return sum(all(row[name] == one for name, one in wanted.items()) for row in rows)

    def failures(self) -> list[str]:
        events = read_run(self.folder.path).events_named("observer-failed")
        return [str(one["reason"]) for one in events]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    with fake_exchange(A=5) as exchange, fake_api() as api:
        api.put("A", 1, 2, 3, 4, 5)
        path = tmp_path / "pipeline.yaml"
        path.write_text(yaml.safe_dump(description(exchange, api)))
        yield Bench(exchange, api, path, folder)


def description(exchange: FakeExchange, api: FakeApi) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": "trial",
        "environment": "lab",
        "compose": {"project": "trial"},
        "services": {"exchange": "exchange", "api": "api"},
        "exchange": {"control": exchange.url},
        "api": {"url": api.server.url, "key": KEY},
        "record": {
            "key": "symbol",
            "sequence": {"field": "trade_id", "prefix": "BINANCE-"},
            "event_time": "timestamp",
        },
        "sampling": {"exchange_hz": 20, "api_hz": 20},
    }


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until, "not within the patience of this test"
        time.sleep(0.05)


def test_a_run_that_has_begun_has_seen_every_stage_and_one_that_ended_has_it_on_disk(
    bench: Bench,
) -> None:
    observer = bench.observer()
    observer.begin()
    assert {"/ledger"} <= {one.path for one in bench.exchange.requests}
    assert {"/health", "/v1/trades"} <= {one.path for one in bench.api.server.requests}
    observer.end()
    observer.end()

    evidence = read_run(bench.folder.path)
    assert "" == evidence.samples_damage
    assert [] == bench.failures()
    for stage in ("exchange", "api"):
        assert bench.count(stage=stage, quantity="newest_id", key="A", value=5.0)
        assert bench.count(stage=stage, quantity="freshness_seconds", value=0.0)
    assert bench.count(stage="api", quantity="status", value=1.0, note="healthy")
    assert not (bench.folder.path / "observer.log").exists()


def test_a_pipeline_that_has_no_more_than_an_api_is_observed(bench: Bench) -> None:
    described = yaml.safe_load(bench.pipeline.read_text())
    del described["exchange"], described["services"]["exchange"]
    bench.pipeline.write_text(yaml.safe_dump(described))
    observer = bench.observer()
    observer.begin()
    observer.end()

    assert [] == bench.failures()
    assert {"api", "engine"} == set(bench.samples()["stage"].to_pylist())
    (age, *_) = [
        row["value"]
        for row in bench.samples().to_pylist()
        if row["quantity"] == "freshness_seconds"
    ]
    assert age > 86_400, "the fake's records are years old, and nobody says that there is no newer"


def test_a_stage_that_hangs_is_said_to_at_every_tick_and_delays_no_other(bench: Bench) -> None:
    observer = bench.observer()
    observer.begin()
    bench.api.server.hang_seconds = 60.0
    wait_until(lambda: bench.count(stage="api", note="outstanding") >= 10)
    seen = bench.count(stage="exchange", quantity="newest_id")
    wait_until(lambda: bench.count(stage="exchange", quantity="newest_id") >= seen + 10)
    observer.end()

    times = [
        row["at"].timestamp()
        for row in bench.samples().to_pylist()
        if row["stage"] == "exchange" and row["quantity"] == "attempt_seconds"
    ]
    assert max(after - before for before, after in pairwise(times)) < 1.0


def test_a_stage_that_is_gone_is_told_with_the_reason(bench: Bench) -> None:
    observer = bench.observer()
    observer.begin()
    bench.api.server.answer = lambda _request: (503, {"status": "unhealthy"})
    wait_until(lambda: bool(bench.count(stage="api", value=None, note="status 503")))
    wait_until(lambda: bool(bench.count(quantity="status", value=0.0, note="unhealthy")))
    observer.end()


def test_of_an_observer_that_is_killed_all_but_the_last_moment_is_read_and_the_run_goes_on(
    bench: Bench,
) -> None:
    observer = bench.observer()
    observer.begin()
    wait_until(lambda: bench.count(stage="api", quantity="newest_id") >= 20)
    assert observer.pid is not None
    killed_at = time.time()
    os.kill(observer.pid, signal.SIGKILL)
    wait_until(lambda: bool(bench.failures()))
    observer.end()

    assert ["its process ended with -9; see observer.log"] == bench.failures()
    assert "" == read_run(bench.folder.path).samples_damage
    last = max(at.timestamp() for at in bench.samples()["at"].to_pylist())
    assert killed_at - last < 1.0


def test_an_observer_whose_run_is_killed_writes_what_it_has_and_ends(bench: Bench) -> None:
    command = [sys.executable, "-c", RUN, str(bench.folder.path), str(bench.pipeline), NO_ENGINE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        run.communicate("x", timeout=PATIENCE)
    wait_until(lambda: not Path(f"/proc/{pid}").exists())

    assert bench.count(stage="api", quantity="newest_id")
    assert bench.samples().num_rows
    whole = (bench.folder.path / SAMPLES_FILE).read_bytes()
    assert b"\xff\xff\xff\xff\x00\x00\x00\x00" == whole[-8:], "the stream was ended"


def test_a_full_disk_is_told_and_harms_nothing(bench: Bench) -> None:
    (bench.folder.path / SAMPLES_FILE).symlink_to("/dev/full")
    observer = bench.observer()
    observer.begin()
    wait_until(lambda: bool(bench.failures()))
    observer.end()

    (reason,) = bench.failures()
    assert "samples.arrows cannot be written" in reason
    assert "No space left" in reason


def test_a_failure_that_cannot_be_written_is_written_when_there_is_room(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    (bench.folder.path / SAMPLES_FILE).symlink_to("/dev/full")
    (bench.folder.path / "events.jsonl").symlink_to("/dev/full")
    observer = bench.observer()
    observer.begin()
    wait_until(lambda: "cannot be written: [Errno 28]" in caplog.text)
    (bench.folder.path / "events.jsonl").unlink()
    observer.end()

    assert 1 == len(bench.failures())


def test_an_observer_that_cannot_begin_says_why(bench: Bench) -> None:
    bench.pipeline.write_text("schema: 2")
    observer = bench.observer()
    observer.begin()
    observer.end()

    (reason,) = bench.failures()
    assert "PipelineFileError" in reason


def test_an_observer_that_cannot_be_started_says_why(bench: Bench) -> None:
    (bench.folder.path / "observer.log").mkdir()
    observer = bench.observer()
    observer.begin()
    observer.end()

    (reason,) = bench.failures()
    assert "cannot be started" in reason


def test_nothing_unexpected_in_a_look_is_passed_over(bench: Bench) -> None:
    """A thread that dies of a mistake of ours ends the observer: half of one proves nothing."""
    bench.api.health = (200, {"status": "healthy"})
    ledger = {"schema": 1, "seed": 7, "now_ms": 10**30, "symbols": {}}
    bench.exchange.server.answer = lambda _request: (200, json.loads(json.dumps(ledger)))
    observer = bench.observer()
    observer.begin()
    wait_until(lambda: bool(bench.failures()))
    observer.end()

    (reason,) = bench.failures()
    assert "OverflowError" in reason
