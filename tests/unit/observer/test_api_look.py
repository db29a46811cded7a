"""What one answer of the query API says, and what it lacks."""

from collections.abc import Iterator

import pytest

from k2chaos.clock import SystemClock
from k2chaos.errors import StageBlind, StageUnavailable
from k2chaos.evidence.freshness import Sighting
from k2chaos.system.api import ApiClient
from k2chaos.system.observer.api_look import DEGRADED, ApiLook, HealthLook
from tests.fakes.api import FakeApi, fake_api
from tests.fakes.servers import Answer, Request, refusing
from tests.fakes.topic import RECORD, time_of


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as fake:
        yield fake


@pytest.fixture
def look(api: FakeApi) -> ApiLook:
    return ApiLook(api.api, RECORD)


def test_one_request_tells_the_newest_of_every_key(api: FakeApi, look: ApiLook) -> None:
    api.put("A", 1, 2, 3)
    api.put("B", 7, 8)

    shown = look.ask({"A": 3, "B": 8})

    assert {"A": Sighting(3, time_of(3)), "B": Sighting(8, time_of(8))} == shown.newest
    assert ([], None) == (shown.missing, shown.note)
    assert 1 == len(api.server.requests)


def test_an_answer_that_goes_back_is_told_as_it_is(api: FakeApi, look: ApiLook) -> None:
    api.put("A", 1, 2, 3)
    look.ask({"A": 3})
    api.trades.pop()

    assert {"A": Sighting(2, time_of(2))} == look.ask({"A": 3}).newest


def test_numbers_between_two_that_are_shown_are_missing(api: FakeApi, look: ApiLook) -> None:
    api.put("A", 1, 2, 5, 6)
    api.put("B", 3, 4)

    assert [("A", 3), ("A", 4)] == look.ask({}).missing


def test_of_the_missing_the_first_ten_are_told(api: FakeApi, look: ApiLook) -> None:
    api.put("A", 1, 2, 500_000_000)

    assert [("A", number) for number in range(3, 13)] == look.ask({}).missing


def test_where_an_answer_ends_within_one_event_time_nothing_is_missing(
    api: FakeApi, look: ApiLook
) -> None:
    """The newest 200 show some of those of their oldest time, in whatever order."""
    api.put("A", 12, at=time_of(1))
    api.put("A", 14, at=time_of(1))
    api.put("A", 16, 17)

    assert [] == look.ask({}).missing


def test_an_answer_that_calls_itself_degraded_is_marked(api: FakeApi, look: ApiLook) -> None:
    api.put("A", 1)
    honest = api.server.answer

    def degraded(request: Request) -> Answer:
        status, body = honest(request)
        return status, {**body, "meta": {"degraded": True}}

    api.server.answer = degraded

    assert DEGRADED == look.ask({}).note


def test_a_slow_key_that_faster_ones_pushed_out_is_asked_for_by_itself(
    api: FakeApi, look: ApiLook
) -> None:
    api.put("SLOW", 1)
    api.put("FAST", *range(1000, 1300))

    assert {"SLOW", "FAST"} == set(look.ask({"SLOW": 1, "FAST": 1299}).newest)
    assert 2 == len(api.server.requests)
    look.ask({"SLOW": 1, "FAST": 1299})
    assert 3 == len(api.server.requests), "it has shown all that there is of SLOW"


def test_keys_that_lag_are_asked_for_in_turn_and_a_few_at_a_time(
    api: FakeApi, look: ApiLook
) -> None:
    slow = [f"S{number}" for number in range(10)]
    for key in slow:
        api.put(key, 1)
    api.put("FAST", *range(1000, 1300))
    wanted = dict.fromkeys(slow, 2)
    look.ask(wanted)
    api.server.requests.clear()

    for _ in range(5):
        look.ask(wanted)

    asked = [one.query["symbol"] for one in api.server.requests if "symbol" in one.query]
    assert sorted([*slow, *slow]) == sorted(asked)


def test_a_key_that_the_api_does_not_know_shows_nothing(api: FakeApi, look: ApiLook) -> None:
    honest = api.server.answer

    def answer(request: Request) -> Answer:
        unknown = 404, {"code": "unknown-symbol"}
        return unknown if "symbol" in request.query else honest(request)

    api.server.answer = answer

    assert {} == look.ask({"A": 1}).newest


@pytest.mark.parametrize(
    "body", [[], {"rows": []}, {"data": [1]}, {"data": [{"symbol": "A"}]}, {"data": None}]
)
def test_an_answer_of_something_else_is_our_blindness(
    api: FakeApi, look: ApiLook, body: object
) -> None:
    api.server.answer = lambda _request: (200, body)

    with pytest.raises(StageBlind, match=r"check api\.newest"):
        look.ask({})


def test_a_time_that_is_none_is_our_blindness(api: FakeApi, look: ApiLook) -> None:
    row = {"symbol": "A", "trade_id": "BINANCE-1", "timestamp": "yesterday"}
    api.server.answer = lambda _request: (200, {"data": [row]})

    with pytest.raises(StageBlind, match="yesterday"):
        look.ask({})


def test_rows_of_another_feed_are_left_out(api: FakeApi, look: ApiLook) -> None:
    api.put("A", 1)
    api.trades += [{**api.trades[0], "trade_id": name} for name in ("KRAKEN-2", "BINANCE-x")]

    assert {"A": Sighting(1, time_of(1))} == look.ask({}).newest


def test_an_api_that_refuses_says_why() -> None:
    with refusing() as url, fake_api() as api:
        api.server.url = url
        with pytest.raises(StageUnavailable) as refusal:
            ApiLook(api.api, RECORD).ask({})

    assert "refused" == refusal.value.reason


@pytest.mark.parametrize(
    "status, body, value, note",
    [
        (200, {"status": "healthy"}, 1.0, "healthy"),
        (200, {"status": "UP"}, 1.0, "UP"),
        (200, {"status": "degraded"}, 0.0, "degraded"),
        (503, {"status": "unhealthy"}, 0.0, "unhealthy"),
        (200, {"uptime": 3}, 0.0, "no status"),
        (200, "ok", 1.0, "ok"),
    ],
)
def test_health_is_the_apis_own_word(
    api: FakeApi, status: int, body: object, value: float, note: str
) -> None:
    api.health = (status, body)

    (sample,) = HealthLook(ApiClient(api.api, RECORD), SystemClock()).look()

    assert ("api", "status", value, note) == (
        sample.stage, sample.quantity, sample.value, sample.note,
    )  # fmt: skip
