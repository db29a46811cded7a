"""The topic is followed: records come by themselves, and what was there before was searched for."""

import dataclasses
import threading
import time
from collections.abc import Iterator, Mapping

import pytest

from k2chaos.clock import SystemClock
from k2chaos.errors import StageUnavailable
from k2chaos.pipeline import Topic
from k2chaos.system.kafka.following import Follower
from k2chaos.system.observer.topic_look import STUCK_SECONDS, TopicLook
from k2chaos.system.topic import TopicClient
from tests.fakes.clock import FakeClock
from tests.fakes.servers import refusing
from tests.fakes.topic import RECORD, FakeTopic, encode, fake_topic, registry_answer, time_of

PATIENCE = 20.0


@pytest.fixture
def topic() -> Iterator[FakeTopic]:
    with fake_topic() as fake:
        yield fake


@pytest.fixture
def look(topic: FakeTopic) -> Iterator[TopicLook]:
    look = TopicLook(topic.topic, RECORD, SystemClock())
    yield look
    look.close()


def numbers(look: TopicLook, wanted: Mapping[str, int]) -> dict[str, int]:
    return {key: one.sequence for key, one in look.ask(wanted).newest.items()}


def wait_until(look: TopicLook, expected: dict[str, int]) -> None:
    until = time.monotonic() + PATIENCE
    while (seen := numbers(look, {})) != expected:
        assert time.monotonic() < until, seen
        time.sleep(0.02)


def failure_of(look: TopicLook) -> StageUnavailable:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            look.ask({})
        except StageUnavailable as error:
            return error
    pytest.fail("it did not fail")


def test_what_was_there_before_is_found_and_what_comes_is_pushed(
    topic: FakeTopic, look: TopicLook
) -> None:
    topic.put("BTC", 1, 2, 3, partition=1)
    topic.put("ETH", 7, partition=3)

    shown = look.ask({"BTC": 3, "ETH": 7})
    assert {"BTC": 3, "ETH": 7} == {key: one.sequence for key, one in shown.newest.items()}
    assert time_of(7) == shown.newest["ETH"].event_time
    topic.put("BTC", 4, 5, partition=1)
    topic.put("SOL", 1, partition=0)
    wait_until(look, {"BTC": 5, "ETH": 7, "SOL": 1})


def test_what_is_written_twice_or_out_of_order_does_not_take_the_newest_back(
    topic: FakeTopic, look: TopicLook
) -> None:
    look.ask({})
    topic.put("BTC", 5, 4, 4, partition=1)
    wait_until(look, {"BTC": 5})


def test_a_value_that_is_no_record_is_passed_over(topic: FakeTopic, look: TopicLook) -> None:
    look.ask({})
    topic.put_raw(b"rubbish")
    topic.put_raw(None)
    topic.put("BTC", 1)
    wait_until(look, {"BTC": 1})


def test_a_key_that_appeared_unnoticed_is_searched_for_as_long_as_it_is_wanted(
    topic: FakeTopic, look: TopicLook
) -> None:
    assert {} == numbers(look, {"BTC": 1})
    topic.put("BTC", 1)
    assert {"BTC": 1} == numbers(look, {"BTC": 1})


def test_while_the_registry_does_not_answer_nothing_that_came_is_lost(
    topic: FakeTopic, look: TopicLook
) -> None:
    look.ask({})
    topic.registry.answer = lambda _request: (503, {})
    topic.put("BTC", 1, 2)

    assert "status 503" == failure_of(look).reason
    assert "status 503" == failure_of(look).reason
    topic.registry.answer = registry_answer
    wait_until(look, {"BTC": 2})


def test_a_broker_that_is_gone_is_told_with_the_reason(topic: FakeTopic) -> None:
    with refusing() as url:
        gone = dataclasses.replace(topic.topic, bootstrap=url.removeprefix("http://"))
        look = TopicLook(gone, RECORD, SystemClock())
        with pytest.raises(StageUnavailable) as refusal:
            look.ask({})
        look.close()

    assert "refused" == refusal.value.reason


def test_many_records_between_two_looks_are_all_taken(topic: FakeTopic, look: TopicLook) -> None:
    look.ask({})
    for number in range(1, 25_001):
        topic.put_raw(encode("BTC", number), partition=number % 4)
        if number % 5_000 == 0:
            topic.flush()
    wait_until(look, {"BTC": 25_000})


class Deaf(Follower):
    """One that a frozen broker left behind: nothing comes any more."""

    def taken(self, _seconds: float) -> list[bytes | None]:
        return []


def test_a_follower_to_whom_nothing_comes_is_replaced_and_what_did_not_come_is_read(
    topic: FakeTopic,
) -> None:
    clock, begun = FakeClock(), list[Follower]()

    def follow(topic: Topic, since: Mapping[int, int]) -> Follower:
        begun.append((Deaf if not begun else Follower)(topic, since))
        return begun[-1]

    look = TopicLook(topic.topic, RECORD, clock, follow)
    assert {} == numbers(look, {})
    clock.seconds += 60.0
    assert {} == numbers(look, {}), "an idle topic is no stuck follower"
    topic.put("BTC", 1, 2)
    assert {} == numbers(look, {})
    clock.seconds += STUCK_SECONDS
    assert {} == numbers(look, {})
    assert 1 == len(begun)
    clock.seconds += 0.1
    numbers(look, {})

    assert {"BTC": 2} == numbers(look, {})
    assert 2 == len(begun)
    look.close()


class Slow(Follower):
    """One to whom records come, but slower than they are written."""

    def taken(self, seconds: float) -> list[bytes | None]:
        time.sleep(seconds)
        self.positions[0] += 1
        return []


def test_a_follower_that_is_behind_and_gets_on_is_kept(topic: FakeTopic) -> None:
    clock, begun = FakeClock(), list[Follower]()

    def follow(topic: Topic, since: Mapping[int, int]) -> Follower:
        begun.append(Slow(topic, since))
        return begun[-1]

    look = TopicLook(topic.topic, RECORD, clock, follow)
    look.ask({})
    topic.put("BTC", *range(1, 501))
    for _ in range(5):
        clock.seconds += STUCK_SECONDS / 2
        look.ask({})

    assert 1 == len(begun)
    look.close()


class Dumb(TopicClient):
    """A client of a broker that does not answer any more, until it is let go."""

    def __init__(self, topic: Topic) -> None:
        super().__init__(topic, RECORD)
        self.free = threading.Event()
        self.free.set()

    def end_offsets(self) -> dict[int, int]:
        assert self.free.wait(PATIENCE)
        return super().end_offsets()


def test_what_comes_ends_the_wait_for_a_broker_that_does_not_answer(topic: FakeTopic) -> None:
    client = Dumb(topic.topic)
    look = TopicLook(topic.topic, RECORD, SystemClock(), client=client)
    look.ask({})
    client.free.clear()
    threading.Timer(0.5, topic.put, ("BTC", 1)).start()

    assert {"BTC": 1} == numbers(look, {})
    assert not client.free.is_set()
    client.free.set()
    look.close()
