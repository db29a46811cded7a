"""
Whole runs: the real ``chaos`` command, the real control, faults on a real container.

The pipeline is small: one container that plays the exchange's part, and an exchange and a query
API that this process serves, with trades flowing from the one to the other.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from k2chaos.clock import SystemClock
from k2chaos.evidence.reading import RunEvidence, read_run
from k2chaos.system.engine import DockerRuntime
from k2chaos.system.engine_lock import LOCK, Mark
from k2chaos.system.runtime import Container
from tests.contract.containers import IMAGE, docker, start_container
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

    def write(self, name: str = "trial", **changes: Any) -> str:
        """An experiment that pauses the container; *changes* replace its parts."""
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps({**experiment(), **changes}))
        return path.name

    def start(self, *words: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "chaostoolkit", *words],
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
            [sys.executable, "-c", code, *words],
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


@pytest.fixture
def desk(tmp_path: Path, engine: DockerRuntime) -> Iterator[Desk]:
    project = f"k2chaos-test-{uuid.uuid4().hex[:8]}"
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


def test_a_fault_that_harms_nothing_passes_with_its_witness(desk: Desk) -> None:
    code, output = desk.run(desk.write())

    verdict = desk.verdict()
    assert (0, "pass", []) == (code, verdict["verdict"], verdict["reasons"]), output
    (fault,) = verdict["faults"]
    assert "paused" == fault["witness"]["injected"]["status"]
    assert "running" == fault["witness"]["healed"]["status"]
    assert 0.95 <= fault["achieved_seconds"], "the heal is sent ahead, by what the way takes"
    assert verdict["records"]["expected"] == verdict["records"]["api"] > 200
    assert fault["recovery"]["from_injection"]["fresh_seconds"] >= 0
    evidence = desk.evidence()
    assert evidence.samples is not None
    assert {*evidence.run["pipeline"]["stages"], "engine"} == {
        *evidence.samples["stage"].to_pylist()
    }
    happened = [one["action"] for one in evidence.events_named("engine")]
    assert ["pause", "unpause"] == happened, "as the engine told it, to the observer"


def test_no_secret_is_in_the_evidence(desk: Desk) -> None:
    desk.run(desk.write())

    written = [path for path in (desk.folder / "journals").rglob("*") if path.is_file()]
    assert len(written) >= 7
    assert [] == [path.name for path in written if KEY.encode() in path.read_bytes()]


def test_records_that_never_arrive_fail_with_their_number(desk: Desk) -> None:
    process = desk.start("run", desk.write())
    desk.until(lambda: desk.status() == "paused")
    with desk.market.lock:
        next_id = desk.market.exchange.last_ids["BTCUSDT"] + 1
        desk.market.swallow = set(range(next_id, next_id + 7))
    output, _ = process.communicate(timeout=120)

    verdict = desk.verdict()
    assert (1, "fail") == (process.returncode, verdict["verdict"]), output
    assert 14 == verdict["records"]["lost"]
    assert "promise-broken" in desk.codes()


def test_a_container_that_is_frozen_already_is_inconclusive_and_untouched(desk: Desk) -> None:
    docker(desk.runtime.engine, "pause", desk.runtime.state(desk.target).container_id)
    before = desk.runtime.state(desk.target)

    code, _ = desk.run(desk.write())

    assert 3 == code
    assert "baseline-unmet" in desk.codes()
    assert "kafka is paused" in str(desk.verdict()["reasons"])
    assert before == desk.runtime.state(desk.target)


def test_a_stale_stage_ends_the_run_within_two_seconds_and_heals(desk: Desk) -> None:
    desk.change_pipeline(stop_when={"freshness_seconds": 5})
    process = desk.start("run", desk.write(method=[action("pause", role="exchange", duration=60)]))
    desk.until(lambda: desk.status() == "paused")
    with desk.market.lock:
        next_id = desk.market.exchange.last_ids["BTCUSDT"] + 1
        desk.market.swallow = set(range(next_id, next_id + 1_000_000))
    clock = SystemClock()
    since = clock.monotonic()
    desk.until(lambda: desk.status() == "running")
    took = clock.monotonic() - since
    process.communicate(timeout=60)

    assert 3.0 < took < 7.0, desk.verdict()["reasons"]
    assert 3 == process.returncode
    assert {"stop-condition"} <= desk.codes()
    assert "interrupted" not in desk.codes()
    assert "no run, and no fault is open" in desk.k2chaos("status").stdout


def test_a_full_disk_ends_the_run_though_the_fault_is_held_in_the_background(desk: Desk) -> None:
    desk.change_pipeline(stop_when={"disk_used_ratio": 0.0001})
    freeze = {**action("pause", role="exchange", duration=60), "background": True}
    code, output = desk.run(desk.write(method=[freeze, nap(60)]))

    assert 3 == code
    assert "stop-condition: stop_when.disk_used_ratio is" in output
    assert "running" == desk.status()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_heals_and_is_inconclusive(number: signal.Signals, desk: Desk) -> None:
    name = desk.write(method=[action("pause", role="exchange", duration=60)])
    process = desk.start("run", name)
    desk.until(lambda: desk.status() == "paused")
    process.send_signal(number)
    desk.until(lambda: desk.status() == "running")
    process.communicate(timeout=60)

    assert 3 == process.returncode
    assert "interrupted" in desk.codes()
    assert "no run, and no fault is open" in desk.k2chaos("status").stdout


def test_an_emergency_stop_heals_within_two_seconds_and_leaves_out_the_rest(desk: Desk) -> None:
    first = desk.write("first", method=[action("pause", role="exchange", duration=60)])
    process = desk.start("run", first, desk.write("second"))
    desk.until(lambda: desk.status() == "paused")
    clock = SystemClock()
    since = clock.monotonic()
    stopped = desk.k2chaos("stop")
    took = clock.monotonic() - since
    output, _ = process.communicate(timeout=60)

    assert "running" == desk.status()
    assert (0, 3) == (stopped.returncode, process.returncode), stopped.stdout + output
    assert "told to end" in stopped.stdout
    assert took < 4.0, "two seconds, and the start of Python on a busy machine"
    assert "stopped: by `k2chaos stop`" in output
    assert "interrupted before it began" in output
    assert {"stopped"} <= desk.codes()


def test_an_emergency_stop_heals_what_a_suspended_run_and_guardian_hold(desk: Desk) -> None:
    process = desk.start("run", desk.write(method=[action("pause", role="exchange", duration=60)]))
    desk.until(lambda: desk.status() == "paused")
    (child,) = _children(process.pid)
    guardian = _guardian(child)
    for one in (process.pid, guardian, child):
        os.kill(one, signal.SIGSTOP)
    try:
        stopped = desk.k2chaos("stop")
        assert 0 == stopped.returncode, stopped.stdout + stopped.stderr
        assert "suspended and could not hear; killed" in stopped.stdout
        assert "healed: pause of kafka" in stopped.stdout
        assert "running" == desk.status()
    finally:
        for one in (process.pid, guardian):
            os.kill(one, signal.SIGCONT)
    process.communicate(timeout=60)

    assert 3 == process.returncode
    assert "nothing runs" in desk.k2chaos("stop").stdout


@pytest.mark.parametrize("tolerated", ["hypothesis", "method"])
def test_a_crashing_probe_leaves_nothing_broken(tolerated: str, desk: Desk) -> None:
    """A tolerance that crashes ends Chaos Toolkit without a journal (facts of upstream)."""
    freeze = {**action("pause", role="exchange", duration=2), "background": True}
    crashing = {**probe("impaired_services", 0), "name": "crashing"}
    crashing["provider"] = {"type": "python", "module": "gc", "func": "enable"}
    crashing["tolerance"] = {"type": "range", "range": [0, 1]}
    parts = experiment()
    if tolerated == "hypothesis":
        parts["steady-state-hypothesis"]["probes"].append(crashing)
    else:
        del crashing["tolerance"]
        crashing["provider"] = {"type": "python", "module": "json", "func": "loads",
                                "arguments": {"s": "not JSON"}}  # fmt: skip
    hypothesis = parts["steady-state-hypothesis"]
    name = desk.write(
        method=[freeze, *([crashing] if tolerated == "method" else [])],
        **{"steady-state-hypothesis": hypothesis},
    )

    code, output = desk.run(name)

    assert 0 != code, output
    desk.until(lambda: desk.status() == "running")
    desk.until(lambda: "no run, and no fault is open" in desk.k2chaos("status").stdout)


HOSTILE = """
import os, pathlib, sys, time
from chaoslib.exceptions import InterruptExecution

def was_held(seconds=0):
    faults = pathlib.Path(os.environ["XDG_STATE_HOME"], "k2chaos", "faults")
    deadline = time.monotonic() + seconds
    while True:
        if any('"active"' in path.read_text() for path in faults.glob("*.jsonl")):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)

def crash(how, where):
    pathlib.Path("crashed").write_text(where)
    if how == "exit":
        sys.exit(5)
    raise {"error": ValueError, "interrupt": InterruptExecution}[how]("somebody else crashed")

def crash_at(hook, context):
    wanted, how = os.environ["HOSTILE"].split(":")
    if hook != wanted or context.get("name", "look") != "look":
        return
    if hook != "after_experiment":
        was_held(30)
    crash(how, hook)

def before_activity_control(context, **_):
    crash_at("before_activity", context)

def after_activity_control(context, **_):
    crash_at("after_activity", context)

def after_experiment_control(context, **_):
    crash_at("after_experiment", context)

def look(how, seconds):
    return crash(how, "probe") if was_held(seconds) else 0
"""
"""Of somebody else: a control that crashes at one hook, and a probe, once a fault was seen."""


@pytest.mark.parametrize(
    "hook, how, code",
    [
        ("before_activity", "error", 0),  # upstream swallows it, and the evidence is whole
        ("before_activity", "exit", 3),
        ("after_activity", "interrupt", 3),
        ("after_experiment", "error", 0),
        ("after_experiment", "exit", 3),  # ours is not called any more
    ],
)
def test_a_crashing_control_leaves_nothing_broken(
    hook: str, how: str, code: int, desk: Desk
) -> None:
    desk.has_module("hostile", HOSTILE)
    desk.environ["HOSTILE"] = f"{hook}:{how}"
    hostile = {"name": "hostile", "provider": {"type": "python", "module": "hostile"}}
    freeze = {**action("pause", role="exchange", duration=2), "background": True}
    look = {**nap(0.1), "name": "look"}
    name = desk.write(
        method=[freeze, look, action("await_recovery", deadline=20)], controls=[hostile, CONTROL]
    )

    ended, output = desk.run(name)

    assert hook == (desk.folder / "crashed").read_text(), output
    assert code == ended, output
    desk.until(lambda: desk.status() == "running")
    desk.until(lambda: "no run, and no fault is open" in desk.k2chaos("status").stdout)
    assert () == desk.locks()
    assert ("pass" in output) == (code == 0)


@pytest.mark.parametrize(
    "where, how", [("method", "error"), ("method", "exit"), ("hypothesis", "interrupt")]
)
def test_a_probe_that_crashes_while_a_fault_is_held_leaves_nothing_broken(
    where: str, how: str, desk: Desk
) -> None:
    desk.has_module("hostile", HOSTILE)
    provider = {"type": "python", "module": "hostile", "func": "look"}
    arguments = {"how": how, "seconds": 30 if where == "method" else 0}
    look = {**probe("look", 0), "provider": {**provider, "arguments": arguments}}
    parts = experiment()
    method = [{**action("pause", role="exchange", duration=3), "background": True}]
    if where == "method":
        del look["tolerance"]
        method.append(look)
    else:
        parts["steady-state-hypothesis"]["probes"].append(look)
        parts["runtime"]["hypothesis"] = {"strategy": "continuously"}
    name = desk.write(**{**parts, "method": [*method, action("await_recovery", deadline=20)]})

    code, output = desk.run(name)

    assert "probe" == (desk.folder / "crashed").read_text(), output
    assert 3 == code, output
    desk.until(lambda: desk.status() == "running")
    desk.until(lambda: "no run, and no fault is open" in desk.k2chaos("status").stdout)
    assert () == desk.locks()


def test_a_closed_terminal_leaves_nothing_broken(desk: Desk) -> None:
    """All that the terminal had is hung up by the kernel, and writes to it fail."""
    ours, theirs = os.openpty()
    name = desk.write(method=[action("pause", role="exchange", duration=60)])
    process = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-m", "chaostoolkit", "run", name],
        cwd=desk.folder,
        env={**os.environ, **desk.environ},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    desk.until(lambda: desk.status() == "paused")
    os.close(ours)

    desk.until(lambda: desk.status() == "running")
    process.wait(60)
    desk.until(lambda: "no run, and no fault is open" in desk.k2chaos("status").stdout)
    assert "interrupted" in desk.codes()


def test_a_run_whose_parent_is_killed_heals(desk: Desk) -> None:
    name = desk.write(method=[action("pause", role="exchange", duration=60)])
    process = desk.start("run", name)
    desk.until(lambda: desk.status() == "paused")
    process.kill()

    desk.until(lambda: desk.status() == "running")
    desk.until(lambda: any((desk.folder / "journals").glob("*/verdict.json")))
    process.communicate(timeout=60)
    assert "interrupted" in desk.codes()


def test_what_a_run_left_that_was_killed_whole_is_healed_by_its_guardian(desk: Desk) -> None:
    name = desk.write(method=[action("pause", role="exchange", duration=60)])
    process = desk.start("run", name)
    desk.until(lambda: desk.status() == "paused")
    (child,) = _children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    process.communicate(timeout=60)

    desk.until(lambda: desk.status() == "running")
    desk.until(lambda: "no fault is open" in desk.k2chaos("status").stdout)


def test_what_a_run_left_that_was_killed_with_its_guardian_is_healed_by_the_next_command(
    desk: Desk,
) -> None:
    name = desk.write(method=[action("pause", role="exchange", duration=60)])
    process = desk.start("run", name)
    desk.until(lambda: desk.status() == "paused")
    (child,) = _children(process.pid)
    guardian = _guardian(child)
    os.kill(child, signal.SIGSTOP)  # so that it cannot start another
    for one in (guardian, process.pid, child):
        os.kill(one, signal.SIGKILL)
    process.communicate(timeout=60)

    assert "paused" == desk.status()
    assert "abandoned" in desk.k2chaos("status").stdout
    assert "healed" in desk.k2chaos("heal").stdout
    assert "running" == desk.status()


def test_heal_removes_the_helpers_that_a_killed_run_left_before_it_wrote_anything_down(
    desk: Desk,
) -> None:
    engine, label = desk.runtime.engine, f"k2chaos.test={desk.target.project}"
    options = ("--label", "k2chaos.helper=true", "--label", label, "--network", "none", IMAGE)
    docker(engine, "create", *options, "true")
    docker(engine, "run", "--detach", *options, "true")
    running = docker(engine, "run", "--detach", *options, "sleep", "60").strip()

    def left() -> list[str]:
        listing = ("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={label}")
        return docker(engine, *listing).split()

    def healed() -> bool:
        assert 0 == desk.k2chaos("heal").returncode
        return [running] == left()

    assert 3 == len(left())
    try:
        desk.until(healed, 30)
    finally:
        docker(engine, "rm", "--force", *left())


def test_a_second_run_is_refused_and_told_who_holds_the_pipeline(desk: Desk) -> None:
    long = desk.write("long", method=[action("pause", role="exchange", duration=60)])
    process = desk.start("run", long)
    desk.until(lambda: desk.status() == "paused")

    code, output = desk.run(desk.write("second"))

    assert 0 not in {code, process.poll()}
    assert "is held by run" in output
    assert "paused" == desk.status()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_a_second_user_on_the_same_engine_is_refused_and_told_who_holds_it(desk: Desk) -> None:
    long = desk.write("long", method=[action("pause", role="exchange", duration=60)])
    process = desk.start("run", long)
    desk.until(lambda: desk.status() == "paused")
    (lock,) = desk.locks()
    (child,) = _children(process.pid)
    guardian = _guardian(child)
    seen = json.loads(desk.k2chaos("status", "--json").stdout)
    ((running,), (locked,), (fault,)) = (
        [one for one in seen[name] if one["project"] == desk.target.project]
        for name in ("runs", "engine_locks", "open")
    )
    assert (child, guardian) == (running["pid"], running["guardian_pid"])
    assert (str(child), False) == (locked["pid"], locked["abandoned"])
    assert ("pause", "kafka", False) == (fault["kind"], fault["target"], fault["abandoned"])
    assert f"guardian of {running['run']}: process {guardian}" in desk.k2chaos("status").stdout
    desk.environ["XDG_STATE_HOME"] = str(desk.folder / "another user's")

    code, output = desk.run(desk.write("second"))

    assert 0 not in {code, process.poll()}
    assert f"docker rm k2chaos-lock-{desk.target.project}" in output
    assert lock.labels["k2chaos.lock.run"] in output
    assert "paused" == desk.status()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert () == desk.locks()


def test_the_guardian_lets_go_of_the_engine_wide_lock_once_it_has_healed(desk: Desk) -> None:
    process = desk.start("run", desk.write(method=[action("pause", role="exchange", duration=60)]))
    desk.until(lambda: desk.status() == "paused")
    (child,) = _children(process.pid)
    for one in (process.pid, child):
        os.kill(one, signal.SIGKILL)
    process.communicate(timeout=60)

    desk.until(lambda: desk.locks() == ())
    assert "running" == desk.status()


def test_the_lock_of_a_run_that_was_killed_with_its_guardian_is_taken_over(desk: Desk) -> None:
    process = desk.start("run", desk.write(method=[action("pause", role="exchange", duration=60)]))
    desk.until(lambda: desk.status() == "paused")
    (child,) = _children(process.pid)
    guardian = _guardian(child)
    os.kill(child, signal.SIGSTOP)
    for one in (guardian, process.pid, child):
        os.kill(one, signal.SIGKILL)
    process.communicate(timeout=60)
    (left,) = desk.locks()

    code, output = desk.run(desk.write("second"))

    assert 0 == code, output
    assert left.labels["k2chaos.lock.run"] in output
    assert () == desk.locks()


def test_a_wrong_key_is_a_usage_error_before_anything_is_touched(desk: Desk) -> None:
    desk.environ["TRIAL_KEY"] = "a-wrong-key"
    before = desk.runtime.state(desk.target)

    code, output = desk.run(desk.write())

    assert 2 == code
    assert "credentials were refused" in output
    assert before == desk.runtime.state(desk.target)
    assert [] == list((desk.folder / "journals").glob("*"))


def test_an_idle_market_proves_nothing(desk: Desk) -> None:
    desk.until(lambda: desk.market.exchange.last_ids["BTCUSDT"] > 0)
    desk.market.is_flowing = False

    code, _ = desk.run(desk.write())

    assert 3 == code
    assert "too-few-records" in desk.codes()


def test_a_fault_that_somebody_else_ends_is_inconclusive(desk: Desk) -> None:
    identifier = desk.runtime.state(desk.target).container_id
    process = desk.start("run", desk.write(method=[action("pause", role="exchange", duration=3)]))
    desk.until(lambda: desk.status() == "paused")
    docker(desk.runtime.engine, "unpause", identifier)
    process.communicate(timeout=60)

    assert 3 == process.returncode
    assert "fault-ended-early" in desk.codes()


def _guardian(pid: int) -> int:
    """The guardian among what a run's process has started; the observer is another."""
    (found,) = [
        child
        for child in _children(pid)
        if b"k2chaos.system.guardian.process" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    return found


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]
