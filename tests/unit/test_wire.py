"""Kafka's own protocol, as far as librdkafka does not speak it for us."""

from collections.abc import Iterator

import pytest

from k2chaos.errors import TargetNotReady
from k2chaos.system.kafka.wire import Wire
from tests.fakes.wire import WireBroker, wire_broker

RATE = "producer_byte_rate"


@pytest.fixture
def broker() -> Iterator[WireBroker]:
    with wire_broker() as one:
        yield one


@pytest.fixture
def wire(broker: WireBroker) -> Wire:
    return Wire(broker.bootstrap)


@pytest.mark.parametrize("client_id", ["", "binance-stream"], ids=["of all", "of one"])
def test_a_quota_is_set_read_and_removed(client_id: str, broker: WireBroker, wire: Wire) -> None:
    before = wire.byte_rate(client_id)
    wire.set_byte_rate(client_id, 1234.5)
    during = wire.byte_rate(client_id)
    kept = {name: dict(values) for name, values in broker.quotas.items()}
    wire.set_byte_rate(client_id, None)

    assert (before, during, wire.byte_rate(client_id)) == (None, 1234.5, None)
    assert kept == {client_id or None: {RATE: 1234.5}}


def test_other_quotas_of_the_same_client_stay(broker: WireBroker, wire: Wire) -> None:
    broker.quotas[None] = {"consumer_byte_rate": 5.0}

    wire.set_byte_rate("", 10.0)
    wire.set_byte_rate("", None)

    assert wire.byte_rate("") is None
    assert broker.quotas == {None: {"consumer_byte_rate": 5.0}}


@pytest.mark.parametrize("size", [62, 1000, 1001])
def test_a_batch_is_offered_and_never_written(size: int, broker: WireBroker, wire: Wire) -> None:
    assert wire.refuses(broker.address, "trades", 0, size) is (size > broker.max_bytes)
    assert broker.written == []


@pytest.mark.parametrize("instance_id", [None, "sink-1"])
def test_a_member_is_removed_once_and_may_be_gone(
    instance_id: str | None, broker: WireBroker, wire: Wire
) -> None:
    broker.members = {("ours", instance_id), ("theirs", "sink-2")}

    wire.remove_member("sinks", "ours", instance_id)
    wire.remove_member("sinks", "ours", instance_id)

    assert broker.members == {("theirs", "sink-2")}


def test_what_kafka_refuses_is_said_with_its_code(broker: WireBroker, wire: Wire) -> None:
    broker.fails_with = 31

    for ask in (
        lambda: wire.byte_rate(""),
        lambda: wire.set_byte_rate("", 1.0),
        lambda: wire.refuses(broker.address, "trades", 0, 10),
        lambda: wire.remove_member("sinks", "ours", None),
    ):
        with pytest.raises(TargetNotReady, match="error 31"):
            ask()


def test_a_broker_that_dies_in_the_middle_of_its_answer_is_no_answer(
    broker: WireBroker, wire: Wire
) -> None:
    broker.quotas[None] = {RATE: 10.0}
    broker.cuts_off = 5

    with pytest.raises(TargetNotReady, match="in the middle of its answer"):
        wire.byte_rate("")


def test_a_broker_that_is_not_there_is_no_answer() -> None:
    with wire_broker() as gone:
        address = gone.bootstrap

    with pytest.raises(TargetNotReady, match="refused"):
        Wire(address).byte_rate("")


def test_the_first_address_that_answers_is_asked(broker: WireBroker) -> None:
    with wire_broker() as gone:
        dead = gone.bootstrap

    assert Wire(f"{dead}, PLAINTEXT://{broker.bootstrap}").byte_rate("") is None
