"""What the control does around a run, in its order."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from k2chaos.controls import after_experiment_control
from k2chaos.evidence.folder import RunFolder
from k2chaos.evidence.reading import read_run
from k2chaos.system.run import Run, has_run, make_current
from tests.fakes.runs import fake_run


@dataclass
class NotingObserver:
    """Says in the evidence that it was ended."""

    folder: RunFolder

    def begin(self) -> None:
        """See `Observing`."""

    def end(self) -> None:
        self.folder.append_event("observer-ended")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = fake_run(tmp_path, exchange={"control": "http://127.0.0.1:9"})
    run = replace(run, observer=NotingObserver(run.folder))
    make_current(run)
    return run


def events(run: Run) -> list[str]:
    return [str(one["event"]) for one in read_run(run.folder.path).events]


def test_the_observer_has_ended_before_records_are_gathered(run: Run) -> None:
    after_experiment_control({}, {"status": "completed"})

    seen = events(run)
    assert "observer-ended" == seen[0]
    assert {"stage-unavailable", "ended"} <= set(seen), "nobody answers there"
    assert not has_run()


def test_the_observer_of_an_interrupted_run_is_ended_too(run: Run) -> None:
    run.interrupt.request("SIGINT")

    after_experiment_control({}, {"status": "interrupted"})

    assert ["observer-ended", "interrupted", "ended"] == events(run)[:3]


def test_a_run_that_closes_ends_its_observer(run: Run) -> None:
    make_current(None)
    run.close()

    assert ["observer-ended"] == events(run)
