"""The emergency stop, as far as it goes without an engine."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from k2chaos.clock import SystemClock
from k2chaos.evidence.ledger import FaultLedger
from k2chaos.evidence.state import Holder, PipelineLock, state_directory
from k2chaos.system.stopping import stop
from tests.fakes.clock import FakeClock

NOW = FakeClock().now()
HOLDER = (
    "import os, sys, time; from pathlib import Path;"
    "from k2chaos.evidence.state import Holder, PipelineLock;"
    "holder = Holder('run-1', os.getpid(), 'then', '');"
    "lock = PipelineLock(Path(sys.argv[1]), 'lab').held_by(holder);"
    "lock.__enter__(); print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return state_directory({"XDG_STATE_HOME": str(tmp_path)})


def ledger(directory: Path, project: str = "lab") -> FaultLedger:
    return FaultLedger("run-1", project, (directory / "faults" / f"{project}.jsonl",))


def no_heal() -> Iterator[str]:
    yield "could not"


def test_where_nothing_runs_nothing_is_done(directory: Path) -> None:
    stopped = stop(directory, no_heal, FakeClock())

    assert ((), ()) == (stopped.did, stopped.still_open)


def test_what_is_open_without_a_run_is_healed_here(directory: Path) -> None:
    kept = ledger(directory)
    kept.tried("pause-1", {"kind": "pause"}, NOW, at=NOW)

    def heal() -> Iterator[str]:
        kept.healed("pause-1", {}, at=NOW)
        yield "healed: pause-1"

    stopped = stop(directory, heal, FakeClock())

    assert (("healed: pause-1",), ()) == (stopped.did, stopped.still_open)


def test_what_could_not_be_healed_is_told(directory: Path) -> None:
    ledger(directory).tried("pause-1", {"kind": "pause"}, NOW, at=NOW)

    assert ("pause-1",) == stop(directory, no_heal, FakeClock()).still_open


def test_another_project_is_left_alone(directory: Path) -> None:
    ledger(directory, "other").tried("pause-1", {"kind": "pause"}, NOW, at=NOW)

    stopped = stop(directory, no_heal, FakeClock(), "lab")

    assert ((), ()) == (stopped.did, stopped.still_open)


def test_a_stranger_that_got_the_number_of_a_dead_run_is_never_signalled(directory: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        holder = Holder("run-1", stranger.pid, "then", "")
        with PipelineLock(directory, "lab").held_by(holder):
            (asked, *_) = stop(directory, no_heal, FakeClock()).did
        survived = stranger.poll() is None
        stranger.kill()

    assert survived
    assert "its process was not found, so nobody was asked" in asked


@pytest.mark.parametrize("is_suspended", [False, True])
def test_the_run_itself_is_told_and_a_suspended_one_killed(
    directory: Path, *, is_suspended: bool
) -> None:
    """This holder has no handler, so that the signal it got is what it died of."""
    command = [sys.executable, "-c", HOLDER, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert b"held\n" == holder.stdout.readline()
        if is_suspended:
            holder.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, holder.pid, os.WSTOPPED)  # it has stopped
        (asked, *rest) = stop(directory, no_heal, SystemClock()).did
        died_of = -holder.wait(10)

    assert ("killed" if is_suspended else "told to end") in asked
    assert (signal.SIGKILL if is_suspended else signal.SIGUSR1) == died_of
    assert [] == rest
