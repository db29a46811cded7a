"""Whole runs: the real ``chaos`` command, the real control, faults on a real container."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from k2chaos.clock import SystemClock
from k2chaos.system.engine import DockerRuntime
from tests.contract.containers import IMAGE, docker
from tests.contract.desk import (
    CONTROL,
    Desk,
    action,
    desk_at,
    experiment,
    nap,
    probe,
)
from tests.fakes.api import KEY
from tools.residue import oracle


@pytest.fixture
def desk(tmp_path: Path, engine: DockerRuntime) -> Iterator[Desk]:
    with desk_at(tmp_path, engine) as desk:
        yield desk


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
    desk.change_pipeline(budgets={"freshness_seconds": 8})  # that long twice it is waited for
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
        parts["steady-state-hypothesis"]["probes"] = [look]  # the others see the fault, and fail
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


def test_heals_at_once_do_not_disturb_each_other(desk: Desk) -> None:
    """The guardian, three hands that type `heal`, and another run that sweeps before it begins."""
    engine, project = desk.runtime.engine, f"com.docker.compose.project={desk.target.project}"
    containers = docker(engine, "ps", "--quiet", "--filter", f"label={project}").split()
    before = [oracle.look(engine, one) for one in containers]
    faults = [
        action("freeze_process", role="api", process="sh", duration=60),
        action("squeeze_memory", role="exchange", duration=60),
        action("pause", role="exchange", duration=60, start_after=3),
    ]
    method = [*({**one, "background": True} for one in faults), nap(60)]
    process = desk.start("run", desk.write(method=method))
    desk.until(lambda: desk.status() == "paused" or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    (child,) = _children(process.pid)
    for one in (process.pid, child):
        os.kill(one, signal.SIGKILL)

    with ThreadPoolExecutor() as hands:
        heals = [hands.submit(desk.k2chaos, "heal") for _ in range(3)]
        _, output = hands.submit(desk.run, desk.write("second", method=[nap(0.1)])).result()

    assert [0, 0, 0] == [one.result().returncode for one in heals]
    desk.until(lambda: "no run, and no fault is open" in desk.k2chaos("status").stdout)
    after = [oracle.look(engine, one) for one in containers]
    left = [oracle.differences(*looks) for looks in zip(before, after, strict=True)]
    assert [[], []] == left, output
    assert () == desk.locks()


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

    assert "no run of yours, and no fault of yours" in desk.k2chaos("status").stdout
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
