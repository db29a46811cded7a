"""What faults do to a topic, on librdkafka's own mock broker as far as that one can."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from k2chaos.clock import SystemClock
from k2chaos.errors import TargetNotReady, Unsupported
from k2chaos.system.kafka.control import KafkaControl
from k2chaos.system.kafka.members import (
    ids_of,
    is_alive,
    member_options,
    start_member,
    stop_member,
)
from tests.contract.waiting import wait_until
from tests.fakes.topic import FakeTopic, encode, fake_topic


@pytest.fixture
def fake() -> Iterator[FakeTopic]:
    with fake_topic() as one:
        yield one


def test_records_of_ours_are_told_from_those_of_the_source(fake: FakeTopic) -> None:
    fake.put("BTCUSDT", 1, 2)
    control = KafkaControl(fake.topic)
    since = control.end_offset()

    said = control.write([b"poison", b"poison"], "tag")
    fake.put("BTCUSDT", 3)

    assert said == ("", "")
    assert (since, control.end_offset()) == (2, 5)
    assert control.marked("tag", since) == 2
    assert control.marked("another", since) == 0
    assert control.marked("tag", since + 1) == 1


def test_the_sample_is_a_record_of_the_source(fake: FakeTopic) -> None:
    control = KafkaControl(fake.topic)
    control.write([b"poison"], "tag")

    assert control.sample() is None

    fake.put("ETHUSDT", 7, partition=2)

    assert control.sample() == encode("ETHUSDT", 7)


def test_growth_is_what_was_written_meanwhile(fake: FakeTopic) -> None:
    fake.put("BTCUSDT", 1, 2, 3)

    assert KafkaControl(fake.topic).grown_in(0.01) == 0


def test_a_broker_that_wants_more_than_plaintext_is_refused(fake: FakeTopic) -> None:
    control = KafkaControl(replace(fake.topic, options={"security.protocol": "SASL_SSL"}))

    with pytest.raises(Unsupported, match="SASL_SSL"):
        control.byte_rate("")


def test_a_broker_that_is_gone_is_not_ready() -> None:
    with fake_topic() as fake:
        topic = replace(fake.topic, bootstrap="127.0.0.1:1")

    with pytest.raises(TargetNotReady, match=r"127\.0\.0\.1:1"):
        KafkaControl(topic, seconds=0.5).end_offset()


@pytest.mark.parametrize("longest", [60.0, 1.0], ids=["when told", "by itself"])
def test_a_member_takes_partitions_and_ends(longest: float, fake: FakeTopic) -> None:
    options = {"bootstrap.servers": fake.topic.bootstrap, **member_options("sink", "range")}

    start_member("ours", options, fake.topic.name, longest, SystemClock())
    if longest > 1.0:
        wait_until(lambda: ids_of("ours"), "a place in the group")
        assert is_alive("ours")
        stop_member("ours")

    wait_until(lambda: not is_alive("ours"), "the end of the thread")
    assert ids_of("nobody") == ()
