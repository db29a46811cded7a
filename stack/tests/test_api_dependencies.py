"""What is told of dependencies that went and came back, in whole or in part."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from query_api.dependencies import UnwellError, _Kafka, registry


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


class Registry(BaseHTTPRequestHandler):
    """Answers what its server was told to, and counts."""

    def do_GET(self) -> None:
        self.server.asked += 1  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def registry_server(status: int) -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        server.status, server.asked = status, 0  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_the_registry_that_answered_is_asked_first_from_then_on() -> None:
    with registry_server(503) as ill, registry_server(200) as well:
        ask = registry([f"http://127.0.0.1:{one.server_port}" for one in (ill, well)])
        ask()
        ask()
        ask()

        assert (1, 3) == (ill.asked, well.asked)
        well.status = 503
        with pytest.raises(UnwellError, match=r"HTTP 503; .*HTTP 503"):
            ask()
