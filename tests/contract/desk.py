"""
A desk to work at: a folder with a pipeline file, a container, and the real commands.

The pipeline is small: one container that plays the exchange's part, and an exchange and a query
API that this process serves, with trades flowing from the one to the other.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from k2chaos.clock import SystemClock
from k2chaos.evidence.reading import RunEvidence, read_run
from k2chaos.system.engine import DockerRuntime
from k2chaos.system.engine_lock import LOCK, Mark
from k2chaos.system.runtime import Container
from tests.contract.containers import docker, start_container, throwaway_project
from tests.fakes.api import KEY, FakeApi
from tests.fakes.exchange import FakeExchange
from tests.fakes.servers import Answer, Request, serving

SYMBOLS = ("BTCUSDT", "ETHUSDT")
CONTROL = {"name": "k2chaos", "provider": {"type": "python", "module": "k2chaos.controls"}}


class Market:
    """An exchange and an API between which trades flow, ten a tick, with their true times."""

    def __init__(self) -> None:
        self.exchange = FakeExchange(dict.fromkeys(SYMBOLS, 0))
        self.api = FakeApi()
        self.lock = threading.Lock()
        self.is_flowing = True
        self.swallow: set[int] = set()
        self._stop = threading.Event()

    @contextmanager
    def open(self) -> Iterator["Market"]:
        with serving(self._locked(self.exchange.answer)) as exchange:
            self.exchange.server = exchange
            with serving(self._locked(self.api.answer)) as api:
                self.api.server = api
                thread = threading.Thread(target=self._flow, daemon=True)
                thread.start()
                yield self
                self._stop.set()
                thread.join()

    def _locked(self, answer: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
        def guarded(request: Request) -> Answer:
            with self.lock:
                return answer(request)

        return guarded

    def _flow(self) -> None:
        while not self._stop.wait(0.05):
            with self.lock:
                self._tick()

    def _tick(self) -> None:
        now = datetime.now(UTC)
        self.exchange.now = now
        if not self.is_flowing:
            return
        for symbol in SYMBOLS:
            first = self.exchange.last_ids[symbol] + 1
            self.exchange.last_ids[symbol] += 10
            ids = [one for one in range(first, first + 10) if one not in self.swallow]
            self.api.put(symbol, *ids, at=now)


@dataclass
class Desk:
    """A folder with a pipeline file, a container, and the commands to work with them."""

    folder: Path
    market: Market
    runtime: DockerRuntime
    target: Container
    environ: dict[str, str] = field(default_factory=dict)
    started: list["subprocess.Popen[str]"] = field(default_factory=list)
    python: str = sys.executable

    def write(self, name: str = "trial", **changes: Any) -> str:
        """An experiment that pauses the container; *changes* replace its parts."""
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps({**experiment(), **changes}))
        return path.name

    def start(self, *words: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [self.python, "-m", "chaostoolkit", *words],
            cwd=self.folder,
            env={**os.environ, **self.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Let go of what a failing test left running."""
        for process in self.started:
            process.kill()
            process.communicate()
        for lock in self.locks():
            self.runtime.unmark(lock.identifier)

    def run(self, *words: str) -> tuple[int, str]:
        process = self.start("run", *words)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def k2chaos(self, *words: str) -> "subprocess.CompletedProcess[str]":
        code = "import sys; from k2chaos.cli import main; sys.argv[0] = 'k2chaos'; main()"
        return subprocess.run(
            [self.python, "-c", code, *words],
            cwd=self.folder.parent,
            env={**os.environ, **self.environ},
            capture_output=True,
            text=True,
            check=False,
        )

    def change_pipeline(self, **changes: Any) -> None:
        path = self.folder / "pipeline.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))

    def has_module(self, name: str, text: str) -> None:
        """Give the runs a Python module."""
        (self.folder / f"{name}.py").write_text(text)
        path = [str(self.folder), os.environ.get("PYTHONPATH", "")]
        self.environ["PYTHONPATH"] = os.pathsep.join(path)

    def verdict(self) -> dict[str, Any]:
        (path,) = (self.folder / "journals").glob("*/verdict.json")
        verdict: dict[str, Any] = json.loads(path.read_text())
        return verdict

    def evidence(self) -> RunEvidence:
        (path,) = (self.folder / "journals").glob("*/verdict.json")
        return read_run(path.parent)

    def codes(self) -> set[str]:
        return {reason["code"] for reason in self.verdict()["reasons"]}

    def locks(self) -> tuple[Mark, ...]:
        """The engine-wide locks on our project."""
        project = self.target.project
        return tuple(one for one in self.runtime.marks(LOCK) if one.labels.get(LOCK) == project)

    def status(self) -> str:
        return self.runtime.state(self.target).status

    def until(self, condition: Callable[[], bool], seconds: float = 90.0) -> None:
        clock = SystemClock()
        deadline = clock.monotonic() + seconds
        while not condition():
            assert clock.monotonic() < deadline, "it did not come true in time"
            clock.wait(0.02)


def nap(seconds: float) -> dict[str, Any]:
    provider = {"type": "process", "path": "sleep", "arguments": str(seconds)}
    return {"type": "action", "name": "nap", "provider": provider}


def probe(func: str, tolerance: Any, **arguments: Any) -> dict[str, Any]:
    provider = {"type": "python", "module": "k2chaos.probes", "func": func, "arguments": arguments}
    return {"type": "probe", "name": func, "tolerance": tolerance, "provider": provider}


def action(func: str, **arguments: Any) -> dict[str, Any]:
    provider = {"type": "python", "module": "k2chaos.actions", "func": func, "arguments": arguments}
    return {"type": "action", "name": func, "provider": provider}


def experiment() -> dict[str, Any]:
    return {
        "title": "A frozen exchange loses nothing",
        "description": "It is only a container that does nothing.",
        "controls": [CONTROL],
        "steady-state-hypothesis": {
            "title": "All is well",
            "probes": [
                probe("impaired_services", 0),
                probe("freshness_seconds", {"type": "range", "range": [0, 5]}, stage="api"),
                probe("lost_records", 0, stage="api"),
                probe("duplicated_records", 0, stage="api"),
            ],
        },
        "method": [
            action("pause", role="exchange", duration=1),
            action("await_recovery", deadline=20),
        ],
        "rollbacks": [],
        "runtime": {"rollbacks": {"strategy": "always"}},
    }


def pipeline(market: Market, project: str) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": "trial",
        "environment": "lab",
        "compose": {"project": project},
        "services": {"exchange": "kafka", "api": "kafka-api"},
        "exchange": {"control": market.exchange.server.url},
        "api": {"url": market.api.server.url, "key": "${TRIAL_KEY}"},
        "record": {
            "key": "symbol",
            "sequence": {"field": "trade_id", "prefix": "BINANCE-"},
            "event_time": "timestamp",
        },
    }


@contextmanager
def desk_at(tmp_path: Path, engine: DockerRuntime) -> Iterator[Desk]:
    """A desk in *tmp_path*, until the block ends."""
    project = throwaway_project()
    names = [start_container(engine.engine, project, one) for one in ("kafka", "kafka-api")]
    folder = tmp_path / "work"
    folder.mkdir()
    try:
        with Market().open() as market:
            (folder / "pipeline.yaml").write_text(yaml.safe_dump(pipeline(market, project)))
            environ = {
                "K2CHAOS_PIPELINE": "pipeline.yaml",
                "TRIAL_KEY": KEY,
                "XDG_STATE_HOME": str(tmp_path / "state"),
            }
            target = Container(engine.engine, project, "kafka")
            desk = Desk(folder, market, engine, target, environ)
            yield desk
            desk.end()
    finally:
        docker(engine.engine, "rm", "--force", *names)
