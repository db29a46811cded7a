"""Freshness goes on growing while nobody can see."""

from datetime import timedelta

import pytest

from k2chaos.evidence.freshness import Emitted, Sighting
from k2chaos.system.exchange import Ledger
from k2chaos.system.observer.gauge import (
    EMPTY,
    EXCHANGE_UNSEEN,
    AgainstExchange,
    AgainstItself,
    Said,
    Unaided,
)
from tests.fakes.clock import FakeClock


class World:
    """An exchange whose clock is that of the machine, and a stage that shows some of it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.said: Said | None = None
        self.gauge = AgainstExchange(lambda: self.said, self.clock)
        self.visible: dict[str, Sighting] = {}

    def emit(self, **last_ids: int) -> None:
        """The exchange emits, and is asked."""
        now = self.clock.now()
        keys = {key: Emitted(last, now, now) for key, last in last_ids.items()}
        self.said = Said(Ledger(now, 7, keys), self.clock.monotonic())

    def show(self, **sequences: int) -> None:
        """The stage shows what was emitted now."""
        now = self.clock.now()
        self.visible.update({key: Sighting(one, now) for key, one in sequences.items()})

    def read(self) -> tuple[float | None, str | None]:
        return self.gauge.read(self.visible, self.gauge.mark())


@pytest.fixture
def world() -> World:
    return World()


def test_a_stage_that_shows_all_is_fresh(world: World) -> None:
    world.emit(A=5, B=7)
    world.show(A=5, B=7)
    world.clock.seconds += 0.5

    assert world.read() == (0.0, None)


def test_a_stage_that_lacks_a_record_is_as_stale_as_its_newest(world: World) -> None:
    world.show(A=4, B=7)
    world.clock.seconds += 3.0
    world.emit(A=5, B=7)
    world.clock.seconds += 0.25

    assert world.read() == (3.25, None)


def test_a_stage_that_cannot_be_seen_grows_staler_from_what_it_showed_last(world: World) -> None:
    world.show(A=4)
    world.emit(A=4)
    read = [world.read()]
    for number in (5, 6, 7):
        world.clock.seconds += 1.0
        world.emit(A=number)
        read.append(world.read())

    assert read == [(0.0, None), (1.0, None), (2.0, None), (3.0, None)]


def test_a_record_emitted_during_a_look_makes_no_stage_look_stale(world: World) -> None:
    world.emit(A=4)
    world.show(A=4)
    mark = world.gauge.mark()
    world.clock.seconds += 0.2
    world.emit(A=5)

    assert world.gauge.read(world.visible, mark) == (0.0, None)


def test_a_look_that_takes_long_is_no_exchange_unseen(world: World) -> None:
    world.emit(A=4)
    world.show(A=4)
    mark = world.gauge.mark()
    world.clock.seconds += 4.0

    assert world.gauge.read(world.visible, mark) == (0.0, None)


def test_with_an_exchange_that_says_nothing_freshness_grows_from_what_was_known(
    world: World,
) -> None:
    world.show(A=3)
    world.clock.seconds += 2.0
    world.emit(A=4)
    assert world.read() == (2.0, None)
    world.show(A=4)
    assert world.read() == (0.0, None)
    world.clock.seconds += 5.0

    assert world.read() == (5.0, EXCHANGE_UNSEEN)
    world.emit(A=4)
    assert world.read() == (0.0, None)


def test_with_an_exchange_that_never_said_anything_it_grows_from_the_start(world: World) -> None:
    world.clock.seconds += 4.0

    assert world.read() == (4.0, EXCHANGE_UNSEEN)
    assert {} == world.gauge.wanted(world.gauge.mark())


def test_what_is_wanted_is_what_was_emitted(world: World) -> None:
    world.emit(A=4, B=0)

    assert {"A": 4} == world.gauge.wanted(world.gauge.mark())


def test_the_exchange_is_fresh_while_it_can_be_asked(world: World) -> None:
    gauge = AgainstItself(lambda: world.said, world.clock)
    world.clock.seconds += 2.0
    assert gauge.read({}, None) == (2.0, EXCHANGE_UNSEEN)
    world.emit(A=4)
    assert gauge.read({}, None) == (0.0, None)
    world.clock.seconds += 3.0

    assert gauge.read({}, None) == (3.0, EXCHANGE_UNSEEN)


def sightings(clock: FakeClock, **ages: float) -> dict[str, Sighting]:
    return {key: Sighting(1, clock.now() - timedelta(seconds=age)) for key, age in ages.items()}


def test_without_an_exchange_the_first_stage_says_which_keys_are_active() -> None:
    clock = FakeClock()
    gauge = Unaided(lambda: sightings(clock, A=1.0, B=2.0, OLD=500.0), clock)
    mark = gauge.mark()

    assert {"A": 1, "B": 1} == gauge.wanted(mark)
    assert gauge.read(sightings(clock, A=4.0, B=3.0, OLD=500.0), mark) == (4.0, None)


def test_without_an_exchange_the_first_stage_is_held_against_itself() -> None:
    clock = FakeClock()
    gauge = Unaided(dict, clock)

    assert gauge.read(sightings(clock, A=4.0, OLD=500.0), gauge.mark()) == (4.0, None)


def test_without_any_record_there_is_no_freshness() -> None:
    gauge = Unaided(dict, FakeClock())

    assert gauge.read({}, gauge.mark()) == (None, EMPTY)
