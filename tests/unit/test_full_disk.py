"""A disk that is full under the ledger: the kernel's own refusal, by way of ``/dev/full``."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from k2chaos.errors import FaultNotHealed, RunError
from k2chaos.evidence.ledger import FaultLedger, read_ledger, read_state_ledgers
from k2chaos.system.faults.healing import heal_open
from k2chaos.system.faults.held import Holding, held
from k2chaos.system.faults.process import Pause
from k2chaos.system.faults.steps import Steps
from k2chaos.system.runtime import Container
from tests.fakes.clock import FakeClock
from tests.fakes.runs import fake_holding
from tests.fakes.runtime import FakeRuntime


class Disk:
    """A ledger's place, which can be full and be given room again."""

    def __init__(self, path: Path) -> None:
        self.path, self._kept = path, path.with_suffix(".kept")
        self._kept.touch()
        self.make_room()

    def fill_up(self) -> None:
        self._point_to(Path("/dev/full"))

    def make_room(self) -> None:
        self._point_to(self._kept)

    def _point_to(self, target: Path) -> None:
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(target)


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def kafka(runtime: FakeRuntime) -> Container:
    return runtime.add("kafka")


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    (tmp_path / "faults").mkdir()
    return Disk(tmp_path / "faults" / "run-1.jsonl")


def holding_on(disk: Disk, runtime: FakeRuntime, *copies: Path) -> Holding:
    ledger = FaultLedger("run-1", "lab", (disk.path, *copies))
    return replace(fake_holding(runtime, disk.path.parent), ledger=ledger)


def full_from(step: str, disk: Disk, holding: Holding) -> Holding:
    """The same, with the disk full from just before *step*."""
    real: Callable[..., None] = getattr(Steps(), step)

    def filling(*arguments: object) -> None:
        disk.fill_up()
        real(*arguments)

    return replace(holding, steps=replace(Steps(), **{step: filling}))


def hold(target: Container, holding: Holding) -> None:
    with held(Pause(target), 5.0, holding):
        pass


def test_where_tried_cannot_be_written_nothing_is_injected(
    disk: Disk, runtime: FakeRuntime, kafka: Container
) -> None:
    disk.fill_up()

    with pytest.raises(RunError, match=r"No space left on device.*: nothing was injected"):
        hold(kafka, holding_on(disk, runtime))

    assert [] == runtime.sent


@pytest.mark.parametrize("is_first", [True, False])
def test_where_one_copy_of_tried_cannot_be_written_the_other_is_taken_back(
    disk: Disk, runtime: FakeRuntime, kafka: Container, tmp_path: Path, *, is_first: bool
) -> None:
    other = tmp_path / "other.jsonl"
    disk.fill_up()
    paths = (disk.path, other) if is_first else (other, disk.path)
    holding = replace(holding_on(disk, runtime), ledger=FaultLedger("run-1", "lab", paths))

    with pytest.raises(RunError, match="nothing was injected"):
        hold(kafka, holding)

    assert [] == runtime.sent
    assert () == read_ledger(other).entries


@pytest.mark.parametrize("step", ["confirm", "look", "close"])
def test_what_cannot_be_written_later_is_healed_all_the_same_and_put_right_later(
    step: str, disk: Disk, runtime: FakeRuntime, kafka: Container, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RunError, match="then `k2chaos heal pause-"):
        hold(kafka, full_from(step, disk, holding_on(disk, runtime)))

    assert [("pause", "kafka"), ("unpause", "kafka")] == runtime.sent
    assert "pause of kafka is healed, but the fault ledger cannot say" in caplog.text
    disk.make_room()
    directory = disk.path.parent.parent
    assert 1 == len(read_state_ledgers(directory).open)
    (healing,) = heal_open(directory, lambda _engine: runtime, FakeClock())
    assert "healed" == healing.outcome
    assert () == read_state_ledgers(directory).open


def test_a_full_run_folder_does_not_keep_the_state_directory_from_knowing(
    disk: Disk, runtime: FakeRuntime, kafka: Container, tmp_path: Path
) -> None:
    state = tmp_path / "state.jsonl"
    ledger = FaultLedger("run-1", "lab", (state, disk.path))
    holding = replace(holding_on(disk, runtime), ledger=ledger)

    with pytest.raises(RunError):
        hold(kafka, full_from("confirm", disk, holding))

    assert () == read_ledger(state).open


def test_what_is_neither_healed_nor_written_is_still_told_as_not_healed(
    disk: Disk, runtime: FakeRuntime, kafka: Container
) -> None:
    runtime.broken = lambda _container, verb: verb == "unpause"

    with pytest.raises(FaultNotHealed, match="run `k2chaos heal pause-"):
        hold(kafka, full_from("look", disk, holding_on(disk, runtime)))


def test_a_ledger_with_a_line_that_nobody_can_read_is_kept(disk: Disk) -> None:
    ledger = FaultLedger("run-1", "lab", (disk.path,))
    disk.path.write_text("rubbish\n")

    ledger.close()

    assert "rubbish\n" == disk.path.read_text()
