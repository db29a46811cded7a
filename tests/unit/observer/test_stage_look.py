"""A look at a stage, as samples."""

from collections.abc import Mapping

from k2chaos.evidence.freshness import Emitted, Sighting
from k2chaos.system.exchange import Ledger
from k2chaos.system.observer.gauge import EXCHANGE_UNSEEN, AgainstExchange, Said
from k2chaos.system.observer.stage import Shown, StageLook
from tests.fakes.clock import FakeClock


class World:
    """A stage that shows what the test says, and an exchange that emitted what the test says."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.said: Said | None = None
        self.shown = Shown({})
        self.asked: list[Mapping[str, int]] = []
        self.seconds = 0.0
        gauge = AgainstExchange(lambda: self.said, self.clock)
        self.look = StageLook("api", self.ask, gauge, self.clock)

    def ask(self, wanted: Mapping[str, int]) -> Shown:
        self.asked.append(wanted)
        self.clock.seconds += self.seconds
        return self.shown

    def emit(self, **last_ids: int) -> None:
        now = self.clock.now()
        keys = {key: Emitted(last, now, now) for key, last in last_ids.items()}
        self.said = Said(Ledger(now, 7, keys), self.clock.monotonic())

    def show(self, **sequences: int) -> None:
        now = self.clock.now()
        self.shown = Shown({key: Sighting(one, now) for key, one in sequences.items()})


def test_a_look_tells_how_long_it_took_what_is_newest_and_how_stale_that_is() -> None:
    world = World()
    world.show(B=7, A=4)
    world.clock.seconds += 1.0
    world.emit(A=5, B=7)
    world.seconds = 0.5
    world.shown = world.shown._replace(note="degraded", missing=[("A", 3)])

    samples = world.look.look()

    assert [
        ("attempt_seconds", None, 0.5, "degraded"),
        ("newest_id", "A", 4.0, None),
        ("newest_id", "B", 7.0, None),
        ("missing_id", "A", 3.0, None),
        ("freshness_seconds", None, 1.5, None),
    ] == [(one.quantity, one.key, one.value, one.note) for one in samples]
    assert {("api", world.clock.now())} == {(one.stage, one.at) for one in samples}
    assert [{"A": 5, "B": 7}] == world.asked


def test_a_key_that_an_answer_lacks_stays_as_it_was_shown_last() -> None:
    world = World()
    world.emit(A=4, B=7)
    world.show(A=4, B=7)
    world.look.look()
    world.show(A=4)

    assert 0.0 == world.look.look()[-1].value
    assert {"A", "B"} == set(world.look.shown())


def test_an_answer_that_goes_back_makes_the_stage_stale_again() -> None:
    world = World()
    world.emit(A=4)
    world.show(A=4)
    assert 0.0 == world.look.look()[-1].value
    world.show(A=3)
    world.clock.seconds += 0.5

    assert 0.5 == world.look.look()[-1].value


def test_what_is_not_seen_is_an_attempt_without_number_and_freshness_that_grows() -> None:
    world = World()
    world.emit(A=4)
    world.show(A=4)
    world.look.look()
    world.clock.seconds += 0.25
    world.emit(A=5)

    assert [("attempt_seconds", None, "refused"), ("freshness_seconds", 0.25, "refused")] == [
        (one.quantity, one.value, one.note) for one in world.look.unseen("refused")
    ]


def test_that_the_exchange_is_not_seen_either_is_said_of_the_freshness() -> None:
    world = World()
    world.clock.seconds += 2.0
    attempt, freshness = world.look.unseen("timeout")

    assert ("timeout", None) == (attempt.note, attempt.value)
    assert (EXCHANGE_UNSEEN, 2.0) == (freshness.note, freshness.value)
