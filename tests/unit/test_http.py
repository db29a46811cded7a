import time
from collections.abc import Iterator

import pytest

from k2chaos.errors import StageBlind, StageError, StageUnavailable
from k2chaos.system.http import HttpClient
from tests.fakes.servers import FakeServer, refusing, serving, silent

KEY = "hunter2-never-to-be-seen"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving(lambda request: (200, {"hello": request.path})) as fake:
        yield fake


def client_of(server: FakeServer, seconds: float = 5.0) -> HttpClient:
    return HttpClient(
        "api", server.url, seconds, headers={"X-API-Key": KEY}, hint="look at api.key"
    )


def failure_of(client: HttpClient, kind: type[StageError]) -> StageError:
    with pytest.raises(kind) as caught:
        client.get_json("/v1/trades?limit=2")
    return caught.value


def test_json_comes_back_decoded_and_the_headers_went_out(server: FakeServer) -> None:
    assert {"hello": "/x"} == client_of(server).get_json("/x")
    assert KEY == server.requests[0].headers["x-api-key"]


def test_parameters_are_added_to_those_of_the_path(server: FakeServer) -> None:
    client_of(server).get_json("/v1/trades?limit=2", {"symbol": "BTCUSDT"})

    assert {"limit": "2", "symbol": "BTCUSDT"} == server.requests[0].query


def test_put_sends_json(server: FakeServer) -> None:
    client_of(server).put_json("/rate", {"trades_per_second": 5})

    assert ("PUT", {"trades_per_second": 5}) == (server.requests[0].method, server.requests[0].json)


def test_the_connection_is_kept(server: FakeServer) -> None:
    client = client_of(server)
    for _ in range(5):
        client.get_json("/x")

    assert (5, 1) == (len(server.requests), server.connections)


def test_a_proxy_of_the_environment_is_not_asked(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    assert {"hello": "/x"} == client_of(server).get_json("/x")


@pytest.mark.parametrize("status", [500, 502, 503, 408])
def test_a_server_error_is_the_stages_failure(server: FakeServer, status: int) -> None:
    server.answer = lambda _: (status, {"detail": "catalog is down"})

    error = failure_of(client_of(server), StageUnavailable)

    assert f"status {status}" == error.reason
    assert "catalog is down" in str(error)
    assert f"{server.url}/v1/trades?limit=2" in str(error)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_make_us_blind_and_say_what_to_look_at(
    server: FakeServer, status: int
) -> None:
    server.answer = lambda _: (status, {"detail": "no"})

    error = failure_of(client_of(server), StageBlind)

    assert "credentials" == error.reason
    assert "look at api.key" in str(error)


@pytest.mark.parametrize("status", [302, 400, 404, 429])
def test_a_request_that_is_refused_for_what_it_is_makes_us_blind(
    server: FakeServer, status: int
) -> None:
    server.answer = lambda _: (status, {"detail": "no"})

    assert f"status {status}" == failure_of(client_of(server), StageBlind).reason


def test_a_status_that_is_accepted_is_an_answer(server: FakeServer) -> None:
    server.answer = lambda _: (503, {"status": "unhealthy"})

    answer = client_of(server).get_json("/health", accept=frozenset({503}))

    assert {"status": "unhealthy"} == answer


@pytest.mark.parametrize("content", [b"<html>", b"\xff\xfe", b""])
def test_an_answer_that_is_no_json_makes_us_blind(server: FakeServer, content: bytes) -> None:
    server.answer = lambda _: (200, content)

    assert "undecodable" == failure_of(client_of(server), StageBlind).reason


def test_nobody_listening_is_refused() -> None:
    with refusing() as url:
        error = failure_of(HttpClient("api", url), StageUnavailable)

    assert "refused" == error.reason
    assert url in str(error)


def test_a_frozen_server_is_a_timeout_within_the_limit() -> None:
    with silent() as address:
        before = time.monotonic()
        error = failure_of(HttpClient("api", f"http://{address}", 0.3), StageUnavailable)

    assert "timeout" == error.reason
    assert time.monotonic() - before < 5.0


def test_an_answer_that_dribbles_is_a_timeout_though_every_byte_comes_in_time(
    server: FakeServer,
) -> None:
    server.dribble_seconds = 0.05
    server.answer = lambda _: (200, b"[" + b"1," * 100 + b"1]")
    before = time.monotonic()

    error = failure_of(client_of(server, seconds=0.3), StageUnavailable)

    assert "timeout" == error.reason
    assert time.monotonic() - before < 5.0


def test_a_connection_that_breaks_off_is_the_stages_failure(server: FakeServer) -> None:
    server.break_off = True

    assert "broken" == failure_of(client_of(server), StageUnavailable).reason


def test_a_server_that_came_back_is_reached_again(server: FakeServer) -> None:
    client = client_of(server)
    server.break_off = True
    failure_of(client, StageUnavailable)
    server.break_off = False

    assert {"hello": "/x"} == client.get_json("/x")


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_no_message_holds_the_key(server: FakeServer, status: int) -> None:
    server.answer = lambda _: (status, b"nonsense")
    client = client_of(server)
    kind = StageUnavailable if status == 500 else StageBlind

    assert KEY not in f"{failure_of(client, kind)!r} {client!r}"
