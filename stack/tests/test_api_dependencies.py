"""What is told of Kafka by a client that never hears of it again."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from query_api.dependencies import _Kafka


@dataclass
class Clients:
    """Makes clients; a client that has failed once is deaf for ever, as librdkafka's can be."""

    broker_is_up: bool = True
    made: int = 0
    deaf: set[int] = field(default_factory=set)

    def connect(self) -> Any:
        self.made += 1
        number = self.made

        def list_topics(*, timeout: float) -> Any:
            if not self.broker_is_up or number in self.deaf:
                self.deaf.add(number)
                raise TimeoutError(timeout)
            return SimpleNamespace(brokers={1: "kafka"})

        return SimpleNamespace(list_topics=list_topics)


def test_a_broker_that_is_back_is_heard_though_the_client_of_before_is_deaf() -> None:
    clients = Clients()
    ask = _Kafka(clients.connect)
    ask()
    clients.broker_is_up = False
    with pytest.raises(TimeoutError):
        ask()
    clients.broker_is_up = True

    ask()

    assert 2 == clients.made


def test_a_client_that_hears_is_kept() -> None:
    clients = Clients()
    ask = _Kafka(clients.connect)

    ask()
    ask()

    assert 1 == clients.made
