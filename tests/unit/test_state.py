"""The state directory and its locks."""

import subprocess
import sys
from pathlib import Path

import pytest

from k2chaos.errors import LockedByAnother, UsageError
from k2chaos.evidence.state import (
    Holder,
    PipelineLock,
    held_pipelines,
    state_directory,
    write_atomically,
)

HOLDER = Holder("run-1", 42, "2026-01-01T00:00:00+00:00", "journals/run-1")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return state_directory({"XDG_STATE_HOME": str(tmp_path)})


def test_a_second_run_is_refused_and_told_who_holds_the_pipeline(directory: Path) -> None:
    with (
        PipelineLock(directory, "lab").held_by(HOLDER),
        pytest.raises(LockedByAnother, match=r"run run-1 \(process 42"),
        PipelineLock(directory, "lab").held_by(HOLDER),
    ):
        pytest.fail("two runs held one pipeline")


def test_another_pipeline_is_free(directory: Path) -> None:
    with (
        PipelineLock(directory, "lab").held_by(HOLDER),
        PipelineLock(directory, "k2").held_by(HOLDER),
    ):
        assert {"lab", "k2"} == set(held_pipelines(directory))


def test_the_lock_dies_with_its_holder(directory: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path;"
        "from k2chaos.evidence.state import Holder, PipelineLock;"
        "lock = PipelineLock(Path(sys.argv[1]), 'lab').held_by(Holder('dead', 1, 'then', ''));"
        "lock.__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, str(directory)], check=False)

    assert {} == held_pipelines(directory)
    with PipelineLock(directory, "lab").held_by(HOLDER):
        assert HOLDER == held_pipelines(directory)["lab"]


def test_a_state_directory_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="point XDG_STATE_HOME at a writable folder"):
        state_directory({"XDG_STATE_HOME": str(tmp_path / "file")})


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_atomically(path, "one")
    write_atomically(path, "two")

    assert "two" == path.read_text()
    assert [path] == list(tmp_path.iterdir())


def test_what_fails_half_way_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    write_atomically(path, "one")

    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "two \ud800")

    assert "one" == path.read_text()
    assert [path] == [*tmp_path.iterdir()]


def test_where_nobody_can_lock_nobody_holds_and_nobody_begins() -> None:
    lock = PipelineLock(Path("/proc/none"), "lab")

    assert None is lock.holder()
    with pytest.raises(UsageError, match="writable"), lock.held_by(HOLDER):
        pytest.fail("it was locked")


def test_a_holder_that_left_nothing_to_read_is_unknown(directory: Path) -> None:
    lock = PipelineLock(directory, "lab")
    with lock.held_by(HOLDER):
        (directory / "locks" / "lab.json").write_text("{}")

        assert Holder("unknown", 0, "unknown", "") == lock.holder()
