"""Deaths of a run, and what becomes of its faults, on the real engine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from k2chaos.evidence.ledger import read_ledger
from k2chaos.system.engine import DockerRuntime
from k2chaos.system.faults.held import HEAL_DEADLINE_SECONDS
from k2chaos.system.runtime import Container
from tests.contract.containers import docker, start_container, throwaway_project
from tests.contract.waiting import wait_until

CONTROLLER = """
import json, sys, time
from pathlib import Path
from k2chaos.clock import SystemClock
from k2chaos.evidence.ledger import FaultLedger
from k2chaos.system.engine import connect
from k2chaos.system.faults import System
from k2chaos.system.faults.held import Holding, held
from k2chaos.system.faults.process import Pause
from k2chaos.system.guardian.keeper import Guardian
from k2chaos.system.interrupt import Interrupt
from k2chaos.system.runtime import Container

folder, engine, project, longest = sys.argv[1:]
ledger = FaultLedger("run-1", project, (Path(folder) / "state.jsonl",))
guardian = Guardian(ledger.paths[0], engine, Path(folder) / "guardian.log")
holding = Holding(
    System(connect(engine)), ledger, SystemClock(), Interrupt(), guardian.watch_over
)
with held(Pause(Container(engine, project, "kafka")), float(longest), holding):
    while True:
        print(json.dumps({"guardian": guardian.pid}), flush=True)
        time.sleep(0.05)
"""


@dataclass
class Bench:
    """A container, and a run in another process that holds it paused."""

    runtime: DockerRuntime
    target: Container
    folder: Path
    runs: list["subprocess.Popen[str]"] = field(default_factory=list)

    def hold(self, longest: float = 60.0) -> "subprocess.Popen[str]":
        where = (str(self.folder), self.target.engine, self.target.project)
        run = subprocess.Popen(
            [sys.executable, "-c", CONTROLLER, *where, str(longest)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.runs.append(run)
        self.guardian_of(run)
        assert "paused" == self.status
        return run

    def guardian_of(self, run: "subprocess.Popen[str]") -> int | None:
        """As the run sees it now."""
        assert run.stdout is not None
        found: int | None = json.loads(run.stdout.readline())["guardian"]
        return found

    @property
    def status(self) -> str:
        return self.runtime.state(self.target).status

    def is_healed(self) -> bool:
        path = self.folder / "state.jsonl"
        return self.status == "running" and not read_ledger(path).open


@pytest.fixture
def bench(engine: DockerRuntime, tmp_path: Path) -> Iterator[Bench]:
    project = throwaway_project()
    name = start_container(engine.engine, project)
    bench = Bench(engine, Container(engine.engine, project, "kafka"), tmp_path)
    try:
        yield bench
    finally:
        for run in bench.runs:
            run.kill()
            run.communicate()
        docker(engine.engine, "rm", "--force", name)


def kill_group(run: "subprocess.Popen[str]") -> None:
    os.killpg(run.pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_run_whose_whole_group_is_killed_leaves_nothing_broken(bench: Bench) -> None:
    run = bench.hold()

    kill_group(run)

    wait_until(bench.is_healed, "the container runs, and the ledger says so")
    log = bench.folder / "guardian.log"
    wait_until(lambda: "pause of kafka" in log.read_text(), "the guardian says what it did")


def test_the_guardian_ends_when_there_is_nothing_left_to_heal(bench: Bench) -> None:
    run = bench.hold()
    guardian = bench.guardian_of(run)
    assert guardian is not None

    kill_group(run)

    wait_until(lambda: not is_alive(guardian), "the guardian has ended")
    assert bench.is_healed()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_guardian_is_deaf_to_what_ends_a_terminals_processes(
    number: signal.Signals, bench: Bench
) -> None:
    run = bench.hold()
    guardian = bench.guardian_of(run)
    assert guardian is not None

    os.kill(guardian, number)
    kill_group(run)

    wait_until(bench.is_healed, f"healed after {number.name}")


def test_a_guardian_that_is_killed_is_replaced_and_its_successor_heals(bench: Bench) -> None:
    run = bench.hold()
    first = bench.guardian_of(run)
    assert first is not None

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: bench.guardian_of(run) not in {None, first}, "another guardian")
    assert "paused" == bench.status
    kill_group(run)

    wait_until(bench.is_healed, "healed by the second one")


def test_a_run_that_hangs_beyond_its_deadline_is_healed_while_it_lives(bench: Bench) -> None:
    run = bench.hold(longest=2.0 - HEAL_DEADLINE_SECONDS)  # overdue after two seconds
    os.kill(run.pid, signal.SIGSTOP)
    try:
        wait_until(bench.is_healed, "healed when the deadline had passed")
        assert run.poll() is None
    finally:
        os.kill(run.pid, signal.SIGCONT)


def test_both_killed_at_once_leave_what_the_next_command_heals(bench: Bench) -> None:
    run = bench.hold()
    guardian = bench.guardian_of(run)
    assert guardian is not None
    os.kill(run.pid, signal.SIGSTOP)  # so that it cannot start another

    os.kill(guardian, signal.SIGKILL)
    kill_group(run)

    wait_until(lambda: run.poll() is not None, "the run is dead")
    assert "paused" == bench.status
    (entry,) = read_ledger(bench.folder / "state.jsonl").open
    assert "pause" == entry.fault["kind"]
    bench.runtime.send(bench.target, "unpause")
