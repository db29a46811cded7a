"""A look that hangs delays nothing else, and what fails is told with its reason."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from k2chaos.errors import EngineUnreachable, K2ChaosError, StageUnavailable
from k2chaos.evidence.samples import Sample
from k2chaos.system.observer.watch import OUTSTANDING, Watch
from tests.fakes.clock import FakeClock

CLOCK = FakeClock()
PATIENCE = 10.0


@dataclass
class Stuck:
    """A look that comes back when it is let go; or fails with what the test puts there."""

    free: threading.Event = field(default_factory=threading.Event)
    error: K2ChaosError | None = None
    looks: int = 0

    def look(self) -> list[Sample]:
        self.looks += 1
        assert self.free.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        return [Sample(CLOCK.now(), "api", "attempt_seconds", 0.25)]

    def unseen(self, note: str) -> list[Sample]:
        return [Sample(CLOCK.now(), "api", "attempt_seconds", note=note)]


@contextmanager
def watching(looking: Stuck) -> Iterator[tuple[Watch, list[Sample]]]:
    seen: list[Sample] = []
    watch = Watch("one", looking, seen.extend)
    watch.start()
    try:
        yield watch, seen
    finally:
        looking.free.set()
        watch.stop()


def test_at_each_tick_at_which_a_look_is_outstanding_that_is_said() -> None:
    stuck = Stuck()
    with watching(stuck) as (watch, seen):
        for _ in range(4):
            watch.tick()
        assert [OUTSTANDING] * 3 == [one.note for one in seen]
        stuck.free.set()
        assert watch.await_look(PATIENCE)

        assert [None, None, None, 0.25] == [one.value for one in seen]
        assert 1 == stuck.looks


def test_a_stuck_look_does_not_delay_another() -> None:
    stuck, quick = Stuck(), Stuck()
    quick.free.set()
    with watching(stuck) as (one, _), watching(quick) as (other, seen):
        for _ in range(5):
            one.tick()
            other.tick()
            assert other.await_look(PATIENCE)

        assert [0.25] * 5 == [sample.value for sample in seen]
        assert not one.await_look(0.0)


def test_a_look_that_fails_is_a_sample_with_its_reason_and_the_next_one_looks_again() -> None:
    stuck = Stuck(error=StageUnavailable("api: no answer within 5 s", "timeout"))
    stuck.free.set()
    with watching(stuck) as (watch, seen):
        watch.tick()
        assert watch.await_look(PATIENCE)
        stuck.error = EngineUnreachable("nothing answers")
        watch.tick()
        assert watch.await_look(PATIENCE)
        stuck.error = None
        watch.tick()
        assert watch.await_look(PATIENCE)

    assert [(None, "timeout"), (None, "EngineUnreachable"), (0.25, None)] == [
        (one.value, one.note) for one in seen
    ]
