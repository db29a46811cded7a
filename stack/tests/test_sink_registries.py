"""The registries: which answer counts, whom to wait for and how long, what is remembered."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from test_sink_codec import schema

from consumer_crypto import trade
from consumer_crypto.codec import (
    Reason,
    Registries,
    RegistryUnavailableError,
    UndecodableError,
)


class Registry:
    """A registry on a port of its own, that answers what it is told to."""

    def __init__(self) -> None:
        self.status = 200
        self.body: dict[str, Any] = {"schema": json.dumps(schema())}
        self.asked = 0
        self.at_each: Callable[[], object] = lambda: None
        outer = self

        class Door(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                outer.at_each()
                self.send_response(outer.status)
                self.end_headers()
                self.wfile.write(json.dumps(outer.body).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def registry() -> Iterator[Callable[[], Registry]]:
    started: list[Registry] = []

    def start() -> Registry:
        started.append(Registry())
        return started[-1]

    yield start
    for one in started:
        one.close()


AWAY = "http://127.0.0.1:1"


def test_a_schema_is_asked_for_once(registry: Callable[[], Registry]) -> None:
    one = registry()
    with Registries([one.url]) as registries:
        assert registries.schema(3) == registries.schema(3)
    assert one.asked == 1


def test_the_second_registry_answers_when_the_first_is_away(
    registry: Callable[[], Registry],
) -> None:
    with Registries([AWAY, registry().url]) as registries:
        assert registries.schema(3)["name"] == trade.RECORD_NAME


def test_no_registry_answering_is_nobodys_poison(registry: Callable[[], Registry]) -> None:
    broken = registry()
    broken.status = 500
    with (
        Registries([AWAY, broken.url]) as registries,
        pytest.raises(RegistryUnavailableError, match="HTTP 500"),
    ):
        registries.schema(3)


def test_a_schema_that_all_registries_deny_is_unknown(registry: Callable[[], Registry]) -> None:
    one, two = registry(), registry()
    one.status = two.status = 404
    with Registries([one.url, two.url]) as registries:
        for _ in range(2):
            with pytest.raises(UndecodableError, match="no registry knows schema id 9"):
                registries.schema(9)
    assert (one.asked, two.asked) == (1, 1)


def test_a_denial_waits_for_the_silent_registry_but_not_for_ever(
    registry: Callable[[], Registry],
) -> None:
    one, now = registry(), [0.0]
    one.status = 404
    with Registries([one.url, AWAY], clock=lambda: now[0]) as registries:
        with pytest.raises(RegistryUnavailableError):
            registries.schema(9)
        now[0] = 11.0
        with pytest.raises(UndecodableError):
            registries.schema(9)


def test_an_unknown_schema_is_asked_for_again_after_a_while(
    registry: Callable[[], Registry],
) -> None:
    one, now = registry(), [0.0]
    one.status = 404
    with Registries([one.url], clock=lambda: now[0]) as registries:
        with pytest.raises(UndecodableError):
            registries.schema(9)
        one.status, now[0] = 200, 61.0
        assert registries.schema(9)["name"] == trade.RECORD_NAME


@pytest.mark.parametrize(
    "text", ['"string"', '{"type": "record", "name": "other.Thing", "fields": []}', "{", "[]"]
)
def test_a_schema_that_is_no_trade_is_another(registry: Callable[[], Registry], text: str) -> None:
    one = registry()
    one.body = {"schema": text}
    with Registries([one.url]) as registries, pytest.raises(UndecodableError) as caught:
        registries.schema(3)
    assert caught.value.reason == Reason.OTHER_SCHEMA


def test_garbage_that_names_ever_new_schemas_is_not_remembered_for_ever(
    registry: Callable[[], Registry],
) -> None:
    one = registry()
    with Registries([one.url]) as registries:
        registries.schema(3)
        one.status = 404
        for number in range(100, 1200):
            with pytest.raises(UndecodableError):
                registries.schema(number)
        asked = one.asked
        registries.schema(3)
        with pytest.raises(UndecodableError):
            registries.schema(1199)
        assert one.asked == asked
        with pytest.raises(UndecodableError):
            registries.schema(100)
        assert one.asked == asked + 1


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def condemn(registries: Registries, schema_id: int, clock: Clock) -> None:
    """Ask again every two seconds until the id is condemned."""
    while True:
        try:
            registries.schema(schema_id)
        except RegistryUnavailableError:
            clock.wait(2)
            assert clock.now < 1000
        except UndecodableError:
            return


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_one_silence_is_waited_for_once_however_many_schemas_are_unknown(
    registry: Callable[[], Registry], order: tuple[int, int]
) -> None:
    denying, silent, clock = registry(), registry(), Clock()
    denying.status, silent.status = 404, 500
    silent.at_each = lambda: clock.wait(3)  # as one that hangs
    urls = [(denying.url, silent.url)[each] for each in order]
    with Registries(urls, clock) as registries:
        condemn(registries, 100, clock)
        assert 10 <= clock.now < 14
        for number in range(101, 300):
            condemn(registries, number, clock)
        assert clock.now < 18
        for number in range(300, 400):  # seven seconds of work for each hundred, as under load
            clock.wait(0.07)
            condemn(registries, number, clock)
        assert clock.now < 28


def test_a_registry_given_up_is_asked_again_and_believed(
    registry: Callable[[], Registry],
) -> None:
    denying, other, clock = registry(), registry(), Clock()
    denying.status, other.status = 404, 500
    with Registries([denying.url, other.url], clock) as registries:
        condemn(registries, 9, clock)
        other.status = 200
        clock.wait(11)
        assert registries.schema(10)["name"] == trade.RECORD_NAME
        other.status = 500
        with pytest.raises(RegistryUnavailableError):
            registries.schema(11)


def test_a_silence_long_after_the_last_is_another_and_waited_for(
    registry: Callable[[], Registry],
) -> None:
    denying, clock = registry(), Clock()
    denying.status = 404
    with Registries([denying.url, AWAY], clock) as registries:
        condemn(registries, 9, clock)
        clock.wait(3600)
        with pytest.raises(RegistryUnavailableError):
            registries.schema(10)


def test_nothing_is_condemned_while_nobody_denies_it_however_long_all_are_silent(
    registry: Callable[[], Registry],
) -> None:
    denying, clock = registry(), Clock()
    denying.status = 404
    with Registries([denying.url, AWAY], clock) as registries:
        condemn(registries, 9, clock)
        denying.status = 500
        for _ in range(50):
            clock.wait(5)
            with pytest.raises(RegistryUnavailableError):
                registries.schema(10)
