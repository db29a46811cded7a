"""Healing what a dead run left, from the ledger alone."""

import struct
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from k2chaos.errors import UsageError
from k2chaos.evidence.ledger import FaultLedger, read_ledger
from k2chaos.evidence.state import Holder, PipelineLock, state_directory
from k2chaos.system.endpoints import FileEndpoints
from k2chaos.system.faults import System, fault_to_json
from k2chaos.system.faults.feed import StallFeed
from k2chaos.system.faults.group import ImpersonateSink
from k2chaos.system.faults.healing import heal_open, status, sweep
from k2chaos.system.faults.process import Pause, Stop
from k2chaos.system.runtime import Container, Endpoint, Verb
from tests.fakes.clock import FakeClock
from tests.fakes.exchange import fake_exchange
from tests.fakes.pipelines import lab_tree
from tests.fakes.runtime import FakeRuntime


class Left:
    """A run that was killed while it held faults."""

    def __init__(self, folder: Path) -> None:
        self.directory = state_directory({"XDG_STATE_HOME": str(folder)})
        self.copy = folder / "run-1" / "faults.jsonl"
        self.copy.parent.mkdir()
        self.runtime = FakeRuntime()
        self.clock = FakeClock()
        self.kafka = self.runtime.add("kafka")
        self.path = self.directory / "faults" / "run-1.jsonl"
        self.ledger = FaultLedger("run-1", "lab", (self.path, self.copy))

    def pause_kafka(self, seconds: float = 60.0) -> None:
        fault = Pause(self.kafka).prepare(System(self.runtime))
        deadline = self.clock.now() + timedelta(seconds=seconds)
        self.ledger.tried("pause-1", fault_to_json(fault), deadline, at=self.clock.now())
        fault.inject(System(self.runtime), FakeClock().now())


@pytest.fixture
def left(tmp_path: Path) -> Left:
    return Left(tmp_path)


def test_a_sweep_heals_what_a_dead_run_left(left: Left) -> None:
    left.pause_kafka()

    (healing,) = sweep(left.directory, lambda _engine: left.runtime, left.clock)

    assert "healed" == healing.outcome
    assert left.runtime.state(left.kafka).is_running
    assert not left.path.exists()
    assert not read_ledger(left.copy).open


def test_a_sweep_leaves_the_faults_of_a_living_run_alone(left: Left) -> None:
    left.pause_kafka()
    with PipelineLock(left.directory, "lab").held_by(Holder("run-1", 1, "now", "")):
        healings = sweep(left.directory, lambda _engine: left.runtime, left.clock)

    assert () == healings
    assert "paused" == left.runtime.state(left.kafka).status


def test_a_sweep_heals_an_overdue_fault_even_of_a_living_run(left: Left) -> None:
    left.pause_kafka(seconds=5)
    left.clock.wait(6)
    with PipelineLock(left.directory, "lab").held_by(Holder("run-1", 1, "now", "")):
        healings = sweep(left.directory, lambda _engine: left.runtime, left.clock)

    assert ["healed"] == [one.outcome for one in healings]
    assert left.runtime.state(left.kafka).is_running


def test_a_fault_whose_run_lost_the_pipeline_to_another_is_abandoned(left: Left) -> None:
    left.pause_kafka()
    with PipelineLock(left.directory, "lab").held_by(Holder("run-2", 1, "now", "")):
        (one,) = status(left.directory, left.clock).open

    assert one.is_abandoned


def test_an_explicit_heal_takes_what_it_is_told(left: Left) -> None:
    left.pause_kafka()
    with PipelineLock(left.directory, "lab").held_by(Holder("run-1", 1, "now", "")):
        (one,) = heal_open(left.directory, lambda _engine: left.runtime, left.clock, "pause-1")

    assert "healed" == one.outcome


def test_an_id_nobody_knows_is_a_usage_error(left: Left) -> None:
    with pytest.raises(UsageError, match="k2chaos status"):
        heal_open(left.directory, lambda _engine: left.runtime, left.clock, "pause-9")


def test_what_cannot_be_healed_stays_on_record(left: Left) -> None:
    left.pause_kafka()
    left.runtime.broken = lambda _container, _verb: True

    (one,) = sweep(left.directory, lambda _engine: left.runtime, left.clock)

    assert "failed" == one.outcome
    assert 1 == len(read_ledger(left.path).open)


def test_a_fault_that_was_written_down_but_never_injected_is_closed(left: Left) -> None:
    fault = Stop(left.kafka)
    left.ledger.tried("stop-1", fault_to_json(fault), left.clock.now(), at=left.clock.now())

    (one,) = sweep(left.directory, lambda _engine: left.runtime, left.clock)

    assert "healed" == one.outcome
    assert [] == left.runtime.sent


def test_a_fault_of_an_unknown_kind_is_told_and_kept(left: Left) -> None:
    left.ledger.tried("melt-1", {"kind": "melt"}, left.clock.now(), at=left.clock.now())

    (one,) = sweep(left.directory, lambda _engine: left.runtime, left.clock)

    assert ("failed", "melt") == (one.outcome, one.kind)
    assert "not known to this version" in one.detail
    assert left.path.exists()


class LandingClock(FakeClock):
    """After nine seconds the stop that was on its way lands."""

    def __init__(self, left: Left, at: float = 9.0, verb: Verb = "stop") -> None:
        super().__init__()
        self.left, self.at, self.verb = left, at, verb
        self.has_landed = False

    def wait(self, seconds: float, event: threading.Event | None = None) -> bool:
        result = super().wait(seconds, event)
        if self.seconds >= self.at and not self.has_landed:
            self.has_landed = True
            self.left.runtime.send(self.left.kafka, self.verb)
        return result


def test_a_stop_that_was_on_its_way_when_its_sender_died_is_undone_when_it_lands(
    left: Left,
) -> None:
    clock = LandingClock(left)
    fault = Stop(left.kafka, grace_seconds=10.0)
    left.ledger.tried("stop-1", fault_to_json(fault), clock.now(), at=clock.now())

    (one,) = sweep(left.directory, lambda _engine: left.runtime, clock)

    assert "healed" == one.outcome
    assert clock.has_landed
    assert left.runtime.state(left.kafka).is_running


def test_what_was_prepared_long_ahead_is_watched_as_long_as_what_was_not(left: Left) -> None:
    fault = Pause(left.kafka).prepare(System(left.runtime))
    deadline = left.clock.now() + timedelta(seconds=200)
    left.ledger.tried("pause-1", fault_to_json(fault), deadline, at=left.clock.now())
    left.clock.wait(100)  # for the instant that it was to begin at
    landing = LandingClock(left, left.clock.seconds + 1.0, "pause")
    landing.wait(left.clock.seconds)

    sweep(left.directory, lambda _engine: left.runtime, landing)

    assert left.runtime.state(left.kafka).is_running
    assert landing.has_landed


def test_a_ledger_is_closed_where_it_was_read_whatever_run_it_names(left: Left) -> None:
    left.pause_kafka()
    renamed = left.path.with_name("another.jsonl")
    left.path.rename(renamed)

    sweep(left.directory, lambda _engine: left.runtime, left.clock)

    assert not renamed.exists()
    assert () == sweep(left.directory, lambda _engine: left.runtime, left.clock)


def test_nobody_says_of_an_impostor_that_it_is_gone_while_its_run_lives(left: Left) -> None:
    fault = ImpersonateSink(Endpoint("topic", "trades"), instance_id="sink-1")
    left.ledger.tried("it-1", fault_to_json(fault), left.clock.now(), at=left.clock.now())

    with PipelineLock(left.directory, "lab").held_by(Holder("run-1", 42, "now", "")):
        (one,) = heal_open(left.directory, lambda _engine: left.runtime, left.clock)

    assert ("failed", 1) == (one.outcome, len(read_ledger(left.path).open))
    assert "process 42 still keeps it up" in one.detail
    assert "`k2chaos stop` ends the run" in one.detail
    (one,) = heal_open(left.directory, lambda _engine: left.runtime, left.clock)
    assert "still keeps it up" not in one.detail


def test_what_goes_wrong_with_one_keeps_no_other_from_being_healed(left: Left) -> None:
    left.pause_kafka()
    sink = Container("an engine of its own", "lab", "sink")
    left.ledger.tried("pause-2", fault_to_json(Pause(sink)), left.clock.now(), at=left.clock.now())

    def connect(engine: str) -> FakeRuntime:
        if engine == sink.engine:
            raise struct.error
        return left.runtime

    healings = sweep(left.directory, connect, left.clock)

    assert {"pause-1": "healed", "pause-2": "failed"} == {
        one.fault_id: one.outcome for one in healings
    }
    assert ["pause-2"] == [one.fault_id for one in read_ledger(left.path).open]


def test_what_lies_upon_another_fault_of_its_target_is_undone_first(left: Left) -> None:
    left.pause_kafka()
    left.runtime.send(left.kafka, "unpause")
    left.runtime.send(left.kafka, "stop")
    deadline = left.clock.now() + timedelta(seconds=60)
    left.ledger.tried("stop-2", fault_to_json(Stop(left.kafka)), deadline, at=left.clock.now())

    healings = sweep(left.directory, lambda _engine: left.runtime, left.clock)

    assert [("stop-2", "healed"), ("pause-1", "healed")] == [
        (one.fault_id, one.outcome) for one in healings
    ]


def test_one_that_cannot_be_healed_delays_no_other(left: Left) -> None:
    left.pause_kafka()
    sink = left.runtime.add("sink")
    fault = Pause(sink).prepare(System(left.runtime))
    deadline = left.clock.now() + timedelta(seconds=60)
    left.ledger.tried("pause-2", fault_to_json(fault), deadline, at=left.clock.now())
    left.runtime.send(sink, "pause")
    thawed = threading.Event()

    def broken(container: Container, verb: str) -> bool:
        if container == sink and verb == "unpause":
            assert thawed.wait(10.0), "the other was to wait for this one"
            return True
        if verb == "unpause":
            thawed.set()
        return False

    left.runtime.broken = broken
    healings = sweep(left.directory, lambda _engine: left.runtime, left.clock)

    assert {"pause-1": "healed", "pause-2": "failed"} == {
        one.fault_id: one.outcome for one in healings
    }


def test_a_feed_is_not_healed_elsewhere_than_where_it_was_stalled(
    left: Left, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("K2_API_KEY", "LAB_S3_KEY", "LAB_S3_SECRET"):
        monkeypatch.setenv(name, "secret")
    with fake_exchange(BTC=1) as here, fake_exchange(BTC=1) as elsewhere:
        file = tmp_path / "pipeline.yaml"
        tree = lab_tree()
        tree["exchange"]["control"] = here.url
        file.write_text(yaml.safe_dump(tree))
        ledger = replace(left.ledger, pipeline_file=file)
        fault = StallFeed(Endpoint("exchange", here.url)).prepare(
            System(left.runtime, FileEndpoints(file))
        )
        ledger.tried("stall-1", fault_to_json(fault), left.clock.now(), at=left.clock.now())
        fault.inject(System(left.runtime, FileEndpoints(file)), left.clock.now())
        tree["exchange"]["control"] = elsewhere.url
        file.write_text(yaml.safe_dump(tree))
        (moved,) = sweep(left.directory, lambda _engine: left.runtime, left.clock)
        file.write_text("pipeline: [")
        (broken,) = sweep(left.directory, lambda _engine: left.runtime, left.clock)
        still = read_ledger(left.path).open
        tree["exchange"]["control"] = here.url
        file.write_text(yaml.safe_dump(tree))
        (back,) = sweep(left.directory, lambda _engine: left.runtime, left.clock)

    assert ("failed", True) == (moved.outcome, "put the file back" in moved.detail)
    assert ("failed", 1) == (broken.outcome, len(still))
    assert "healed" == back.outcome
    assert not left.path.exists()


def test_a_ledger_that_cannot_be_read_does_not_keep_others_from_being_healed(left: Left) -> None:
    left.pause_kafka()
    (left.directory / "faults" / "a-folder.jsonl").mkdir()

    (one,) = sweep(left.directory, lambda _engine: left.runtime, left.clock)

    assert "healed" == one.outcome
    assert 1 == len(status(left.directory, left.clock).unreadable)
