"""Who may be held now, also when two ask at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from k2chaos.errors import UsageError
from k2chaos.system.faults.freeze import Freeze
from k2chaos.system.faults.held import held
from k2chaos.system.faults.process import Crash, Kill, Pause, Stop
from k2chaos.system.faults.resources import SqueezeCpu, SqueezeMemory, SqueezeProcesses
from k2chaos.system.holding import Wish, hold_for
from tests.fakes.pipelines import lab_pipeline
from tests.fakes.runs import fake_run
from tests.fakes.runtime import FakeRuntime


@pytest.mark.parametrize("limit", ["faults_at_once", "impaired_services_at_once"])
def test_of_many_actions_at_once_only_as_many_get_in_as_the_limit_has_room_for(
    limit: str, tmp_path: Path
) -> None:
    """All are inside the admission before any has written a line into the ledger."""
    pipeline = lab_pipeline(limits={"faults_at_once": 9, limit: 2})
    run = fake_run(tmp_path, limits={"faults_at_once": 9, limit: 2})
    services = [one for one in pipeline.all_services if not one.startswith("schema")]
    targets = [one for one in run.runtime.containers("k2-lab") if one.service in services]
    line_up, let_go = threading.Barrier(len(targets)), threading.Event()
    outcomes: list[str] = []

    def say(word: str) -> None:
        outcomes.append(word)
        if len(outcomes) == len(targets):
            let_go.set()

    def ask(target: Any) -> None:
        line_up.wait(10)
        try:
            with run.admission.of([Pause(target)], (), run.pipeline):
                say("in")
                let_go.wait(10)
        except UsageError as error:
            say(str(error))

    with ThreadPoolExecutor(len(targets)) as pool:
        [*pool.map(ask, targets)]

    refused = [one for one in outcomes if f"limits.{limit}" in one]
    assert (2, len(targets) - 2) == (outcomes.count("in"), len(refused))


def test_what_was_let_in_and_is_on_record_counts_once(tmp_path: Path) -> None:
    run = fake_run(tmp_path, limits={"faults_at_once": 2})
    kafka, postgres = (
        one for one in run.runtime.containers("k2-lab") if one.service in {"kafka", "postgres"}
    )
    fault = Pause(kafka)
    with run.admission.of([fault], (), run.pipeline), held(fault, 1.0, run.holding()):
        assert 1 == len(run.open_faults())
        with run.admission.of([Kill(postgres)], run.open_faults(), run.pipeline):
            pass


def test_what_has_ended_makes_room(tmp_path: Path) -> None:
    run = fake_run(tmp_path, limits={"faults_at_once": 1})

    for _ in range(3):
        hold_for(run, Pause, Wish("sink", 1.0))


@pytest.mark.parametrize("squeeze", [SqueezeMemory, SqueezeProcesses])
@pytest.mark.parametrize("down", [Kill, Stop])
def test_a_squeeze_would_start_what_another_fault_holds_down(
    squeeze: Any, down: Any, tmp_path: Path
) -> None:
    run = fake_run(tmp_path)
    (kafka,) = [one for one in run.runtime.containers("k2-lab") if one.service == "kafka"]

    for first, second in ((squeeze(kafka), down(kafka)), (down(kafka), squeeze(kafka))):
        with (
            run.admission.of([first], (), run.pipeline),
            pytest.raises(UsageError, match="both change whether it runs of kafka"),
            run.admission.of([second], (), run.pipeline),
        ):
            pytest.fail("both were let in")


@pytest.mark.parametrize("second", [Kill, Crash, Pause, lambda target: Freeze(target, "java")])
def test_two_faults_of_processes_on_one_container_are_refused(second: Any, tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    (kafka,) = [one for one in run.runtime.containers("k2-lab") if one.service == "kafka"]
    assert isinstance(run.runtime, FakeRuntime)

    with held(Pause(kafka), 9.0, run.holding()):
        sent = [*run.runtime.sent]
        with pytest.raises(UsageError, match="both change the state of its processes of kafka"):
            hold_for(run, second, Wish("broker", 1.0))
        assert sent == run.runtime.sent


def test_two_squeezes_of_one_resource_are_refused_and_a_pause_beside_one_is_not(
    tmp_path: Path,
) -> None:
    run = fake_run(tmp_path)
    (kafka,) = [one for one in run.runtime.containers("k2-lab") if one.service == "kafka"]

    with held(SqueezeCpu(kafka, 0.5), 9.0, run.holding()):
        with pytest.raises(UsageError, match=r"its limits \(squeeze-cpu\) of kafka"):
            hold_for(run, SqueezeCpu, Wish("broker", 1.0), cores=0.2)
        hold_for(run, Pause, Wish("broker", 1.0))
