"""The engine-wide lock: who gets it, who is refused, and when it is taken over."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from k2chaos.errors import LockedByAnother
from k2chaos.system.engine_lock import (
    LOCK,
    Mark,
    described,
    holder,
    is_abandoned,
    lock_name,
    release,
    take,
)
from k2chaos.system.stopping import force_engine_lock
from tests.fakes.runtime import FakeRuntime

DEAD = "999999999"


@pytest.fixture
def marks() -> FakeRuntime:
    return FakeRuntime()


def left(marks: FakeRuntime, **changes: str) -> Mark:
    """A lock that another process took, as it would be found; *changes* replace its labels."""
    take(marks, "lab", "run-1", "then")
    mine = marks.marked[lock_name("lab")]
    labels = {**mine.labels, **{f"{LOCK}.{name}": value for name, value in changes.items()}}
    marks.marked[lock_name("lab")] = Mark(mine.identifier, labels)
    return marks.marked[lock_name("lab")]


def test_a_second_run_is_refused_and_told_who_holds_it_and_what_to_do(marks: FakeRuntime) -> None:
    take(marks, "lab", "run-1", "then")

    with pytest.raises(LockedByAnother) as refusal:
        take(marks, "lab", "run-2", "now")

    for said in ("run-1", f"process {os.getpid()}", "stop --force lab", "docker rm k2chaos-lock-"):
        assert said in str(refusal.value)
    take(marks, "other", "run-2", "now")


def test_what_was_let_go_can_be_had(marks: FakeRuntime) -> None:
    take(marks, "lab", "run-1", "then")
    release(marks, "lab", "run-1")
    take(marks, "lab", "run-2", "now")

    release(marks, "lab", "run-1")
    (held,) = marks.marks(LOCK)
    assert "run-2" == held.labels[f"{LOCK}.run"]


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, False),
        ({"pid": DEAD}, True),
        ({"began": "1"}, True),  # the number is used again, by another process
        ({"pid": DEAD, "namespace": "pid:[1]"}, False),  # nobody can see it from here
        ({"pid": DEAD, "boot": "b", "host": "elsewhere"}, False),
        ({"pid": DEAD, "boot": "b", "machine": "m"}, False),
        ({"pid": "none"}, False),
    ],
)
def test_only_a_holder_that_is_known_to_be_dead_has_abandoned_it(
    changes: dict[str, str], *, expected: bool, marks: FakeRuntime
) -> None:
    assert expected == is_abandoned(left(marks, **changes).labels)


def test_a_host_that_was_started_anew_runs_none_of_its_processes(marks: FakeRuntime) -> None:
    lock = left(marks, boot="the boot before")

    assert bool(lock.labels[f"{LOCK}.machine"]) == is_abandoned(lock.labels)


def test_the_lock_of_a_process_that_died_is_taken_over(marks: FakeRuntime) -> None:
    code = "import os; print(os.getpid())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    left(marks, pid=done.stdout.strip())

    take(marks, "lab", "run-2", "now")

    (held,) = marks.marks(LOCK)
    assert "run-2" == held.labels[f"{LOCK}.run"]


def test_of_many_that_find_it_abandoned_one_takes_it_over(marks: FakeRuntime) -> None:
    left(marks, pid=DEAD)

    def attempt(number: int) -> bool:
        try:
            take(marks, "lab", f"run-{number + 2}", "now")
        except LockedByAnother:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert 1 == sum(pool.map(attempt, range(8)))


def test_one_who_saw_it_abandoned_cannot_remove_the_lock_of_who_was_faster(
    marks: FakeRuntime,
) -> None:
    seen = left(marks, pid=DEAD)
    take(marks, "lab", "run-2", "now")

    marks.unmark(seen.identifier)

    assert holder(marks, "lab") is not None


def test_a_container_of_that_name_that_is_none_of_ours_is_left_alone(marks: FakeRuntime) -> None:
    marks.mark(lock_name("lab"), {}, "lab")

    with pytest.raises(LockedByAnother, match="none of ours"):
        take(marks, "lab", "run-1", "then")
    assert lock_name("lab") in marks.marked


def test_force_removes_it_whoever_holds_it(marks: FakeRuntime) -> None:
    lock = left(marks, host="elsewhere", boot="b")

    assert described(lock) in force_engine_lock(marks, "lab")
    assert () == marks.marks(LOCK)
    assert "nobody holds" in force_engine_lock(marks, "lab")


def test_a_holder_that_has_ended_and_was_not_collected_has_abandoned_it(marks: FakeRuntime) -> None:
    with subprocess.Popen(["sleep", "60"]) as dead:
        stat = Path(f"/proc/{dead.pid}/stat").read_text(encoding="utf-8")
        began = stat.rpartition(")")[2].split()[19]
        labels = left(marks, pid=str(dead.pid), began=began).labels
        alive = is_abandoned(labels)
        dead.kill()
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # it has ended

        assert not alive
        assert is_abandoned(labels)
