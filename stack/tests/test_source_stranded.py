"""A producer that Kafka no longer hears is replaced; one that only waits for Kafka is not."""

import asyncio
import contextlib

import pytest

from binance_stream.topic import DeliveryFailedError, TopicWriter

NOBODY = "127.0.0.1:1"


def writer(*, kafka_answers: bool) -> TopicWriter:
    return TopicWriter(NOBODY, "t", lambda *_: None, patience=0.05, answers=lambda: kafka_answers)


async def test_a_producer_that_is_stranded_while_kafka_answers_is_given_up() -> None:
    stranded = writer(kafka_answers=True)
    stranded.write("BTCUSDT", b"x", 1)
    with pytest.raises(DeliveryFailedError, match="Kafka answers, but has acknowledged nothing"):
        await asyncio.wait_for(stranded.serve(), 5)
    stranded.abandon()


async def test_a_producer_waits_for_ever_while_kafka_is_away() -> None:
    waiting = writer(kafka_answers=False)
    waiting.write("BTCUSDT", b"x", 1)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(waiting.serve(), 0.5)
    assert waiting.queued == 1
    waiting.check()
    waiting.abandon()


async def test_a_producer_with_nothing_to_do_is_not_stranded() -> None:
    idle = writer(kafka_answers=True)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(idle.serve(), 0.5)
    idle.check()
