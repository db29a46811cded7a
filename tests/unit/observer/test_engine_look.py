"""The state of the pipeline's containers, and what happens to them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from k2chaos.errors import EngineUnreachable
from k2chaos.evidence.samples import Sample
from k2chaos.system.engine_view import Happening
from k2chaos.system.observer.engine_look import EngineListener, EngineLook, UsesLook
from tests.contract.waiting import wait_until
from tests.fakes.engine_view import FakeEngineView
from tests.fakes.pipelines import lab_pipeline

PATIENCE = 20.0
PIPELINE = lab_pipeline()


@pytest.fixture
def engine() -> FakeEngineView:
    engine = FakeEngineView()
    for service in PIPELINE.all_services:
        engine.add(service, health="" if service == "exchange" else "healthy")
    engine.add("stranger", health="unhealthy")
    return engine


@pytest.fixture
def look(engine: FakeEngineView) -> EngineLook:
    return EngineLook(PIPELINE, lambda: engine, engine.clock)


def uses_of(engine: FakeEngineView) -> UsesLook:
    running = {name: one.identifier for name, one in engine.containers.items()}
    return UsesLook(lambda: running, lambda: engine, engine.clock)


def of(samples: list[Sample], quantity: str) -> dict[str | None, tuple[float | None, str | None]]:
    return {one.key: (one.value, one.note) for one in samples if one.quantity == quantity}


def test_every_container_of_the_pipeline_and_no_other_is_told(
    engine: FakeEngineView, look: EngineLook
) -> None:
    engine.add("kafka", 2, health="starting")
    samples = look.look()

    running, healthy = of(samples, "running"), of(samples, "healthy")
    assert {f"{name}-1" for name in PIPELINE.all_services} | {"kafka-2"} == set(running)
    assert running["kafka-1"] == (1.0, "running")
    assert (healthy["kafka-1"], healthy["kafka-2"]) == ((1.0, "healthy"), (0.0, "starting"))
    assert "exchange-1" not in healthy, "it has no check"
    assert of(samples, "impaired_services") == {None: (1.0, None)}
    assert [None] == list(of(samples, "attempt_seconds"))


def test_one_that_is_frozen_or_down_is_not_healthy_whatever_it_was(
    engine: FakeEngineView, look: EngineLook
) -> None:
    look.look()
    engine.set("kafka-1", "paused")
    engine.set("exchange-1", "exited")
    del engine.containers["postgres-1"]
    samples = look.look()

    assert of(samples, "running")["kafka-1"] == (0.0, "paused")
    assert of(samples, "healthy")["kafka-1"] == (0.0, "paused")
    assert of(samples, "running")["exchange-1"] == (0.0, "exited")
    assert of(samples, "impaired_services") == {None: (3.0, None)}


def test_what_each_uses_is_asked_in_turn(engine: FakeEngineView, look: EngineLook) -> None:
    look.look()
    uses = UsesLook(look.running, lambda: engine, engine.clock)
    rounds = [of(uses.look(), "memory_bytes") for _ in range(10)]

    assert [2] * 10 == [len(one) for one in rounds]
    counts = [
        sum(name in one for one in rounds) for name in map("{}-1".format, PIPELINE.all_services)
    ]
    assert [2] * 10 == counts


def test_cores_are_told_from_the_second_look_on_and_not_across_a_restart() -> None:
    engine = FakeEngineView()
    engine.add("kafka")
    look = uses_of(engine)
    assert {} == of(look.look(), "cpu_cores")
    engine.spend("kafka-1", cpu_seconds=3.0, elapsed=2.0)
    assert {"kafka-1": (1.5, None)} == of(look.look(), "cpu_cores")
    engine.spend("kafka-1", cpu_seconds=-2.5, elapsed=1.0)

    assert {} == of(look.look(), "cpu_cores")
    assert {} == of(look.look(), "cpu_cores"), "no time has passed"


def test_one_that_went_away_since_it_was_listed_is_left_out() -> None:
    engine = FakeEngineView()
    engine.add("kafka")
    del engine.uses["kafka-1"]

    assert [] == uses_of(engine).look()


def test_an_engine_that_is_away_is_an_attempt_without_number(
    engine: FakeEngineView, look: EngineLook
) -> None:
    engine.is_away = True
    with pytest.raises(EngineUnreachable):
        look.look()
    with pytest.raises(EngineUnreachable):
        uses_of(engine).look()
    assert [] == uses_of(engine).unseen("EngineUnreachable"), "told once is enough"

    assert {None: (None, "EngineUnreachable")} == of(
        look.unseen("EngineUnreachable"), "attempt_seconds"
    )


@contextmanager
def listening(engine: FakeEngineView) -> Iterator[list[Happening]]:
    heard: list[Happening] = []
    over = threading.Event()
    listener = EngineListener(PIPELINE, lambda: engine, heard.append, engine.clock)
    thread = threading.Thread(target=listener.listen, args=(over,), daemon=True)
    thread.start()
    try:
        wait_until(lambda: engine.opened, "the listener listens")
        yield heard
    finally:
        over.set()
        engine.go_away()
        thread.join(PATIENCE)


def test_what_happens_to_the_pipelines_containers_is_heard_as_it_does(
    engine: FakeEngineView,
) -> None:
    with listening(engine) as heard:
        engine.happen("stranger-1", "die", 1)
        died = engine.happen("kafka-1", "die", 137)
        wait_until(lambda: heard, "it was heard")

        assert [died] == heard


def test_what_happened_while_the_engine_was_away_is_heard_once_it_is_back_and_nothing_twice(
    engine: FakeEngineView,
) -> None:
    with listening(engine) as heard:
        engine.clock.seconds += 10.0
        happened = [engine.happen("kafka-1", "kill")]
        wait_until(lambda: heard, "it was heard")
        engine.is_away = True
        engine.go_away()
        happened += [engine.happen("kafka-1", "die", 137), engine.happen("postgres-1", "die", 137)]
        engine.is_away = False
        wait_until(lambda: len(engine.opened) >= 2, "the listener listens again")
        happened.append(engine.happen("kafka-1", "start"))
        wait_until(lambda: len(heard) == 4, "all of it was heard")

        assert happened == heard
        assert happened[0].at == engine.opened[1], "no more is asked for than was not heard"


def test_what_happened_before_the_run_is_none_of_its_business(engine: FakeEngineView) -> None:
    engine.happen("kafka-1", "die", 1)
    engine.clock.seconds += 10.0
    with listening(engine) as heard:
        engine.happen("kafka-1", "start")
        wait_until(lambda: heard, "it was heard")

        assert ["start"] == [one.action for one in heard]
