import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from k2chaos.errors import StageBlind, StageUnavailable
from k2chaos.evidence.freshness import Sighting
from k2chaos.system.api import ApiClient
from tests.fakes.api import KEY, FakeApi, fake_api
from tests.fakes.clock import FakeClock
from tests.fakes.servers import Answer, Request
from tests.fakes.topic import RECORD, time_of


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as fake:
        yield fake


def client_of(api: FakeApi) -> ApiClient:
    return ApiClient(api.api, RECORD)


def rows_of(api: FakeApi, *keys: str, last: int = 100) -> list[tuple[str, int]]:
    table = client_of(api).read(keys, time_of(1), time_of(last))
    return [(row["key"], row["sequence"]) for row in table.to_pylist()]


def test_the_newest_of_each_key_come_with_one_request(api: FakeApi) -> None:
    api.put("BTC", 1, 2, 3)
    api.put("ETH", 1)

    newest = client_of(api).newest()

    assert {"BTC": Sighting(3, time_of(3)), "ETH": Sighting(1, time_of(1))} == newest
    assert 1 == len(api.server.requests)


def test_keys_that_are_not_among_the_newest_are_asked_for_one_by_one(api: FakeApi) -> None:
    api.put("SLOW", 7)
    api.put("BTC", *range(100, 400))

    newest = client_of(api).newest(["BTC", "SLOW", "NEVER"])

    assert {"BTC": 399, "SLOW": 7} == {key: one.sequence for key, one in newest.items()}
    assert 3 == len(api.server.requests)


def test_records_of_other_feeds_are_not_ours(api: FakeApi) -> None:
    api.put("BTC", 1)
    api.trades.append({**api.trades[0], "trade_id": "KRAKEN-9"})

    assert {"BTC": Sighting(1, time_of(1))} == client_of(api).newest()


def test_all_records_of_the_span_are_read_copies_included(api: FakeApi) -> None:
    api.put("BTC", *range(1, 50), 7)
    api.put("ETH", 3)
    api.put("SOL", 3)

    rows = rows_of(api, "BTC", "ETH", last=20)

    assert sorted([*(("BTC", one) for one in range(1, 21)), ("BTC", 7), ("ETH", 3)]) == sorted(rows)


@pytest.mark.parametrize("is_end_included", [True, False])
def test_pages_meet_without_gap_or_copy_even_where_times_are_equal(
    api: FakeApi, *, is_end_included: bool
) -> None:
    """Five pages, cut through groups of records of one event time."""
    api.most = 10
    api.is_end_included = is_end_included
    for sequence in range(1, 43):
        api.put("BTC", sequence, at=time_of(sequence // 4))
    api.put("BTC", 13, at=time_of(13 // 4))

    rows = client_of(api).read(["BTC"], time_of(0), time_of(100)).to_pylist()

    assert sorted([*range(1, 43), 13]) == sorted(row["sequence"] for row in rows)


def test_more_records_of_one_time_than_a_page_holds_make_us_blind(api: FakeApi) -> None:
    api.most = 10
    api.put("BTC", *range(1, 12), at=time_of(1))

    with pytest.raises(StageBlind, match="cannot be paged through"):
        rows_of(api, "BTC")


def test_times_are_sent_naive(api: FakeApi) -> None:
    rows_of(api, "BTC")

    query = api.server.requests[0].query
    assert "2023-11-14T22:13:20.010000" == query["start_time"]
    assert not set("+Z") & set(query["end_time"])


def test_a_wrong_key_makes_us_blind_and_is_not_told(api: FakeApi) -> None:
    wrong = dataclasses.replace(api.api, key="hunter2")

    with pytest.raises(StageBlind, match=r"api\.key") as caught:
        ApiClient(wrong, RECORD).check_key()

    assert "hunter2" not in str(caught.value)
    assert "credentials" == caught.value.reason


def test_the_right_key_is_taken(api: FakeApi) -> None:
    client_of(api).check_key()

    assert KEY == api.server.requests[0].headers["x-api-key"]


def test_an_api_that_answers_503_is_unavailable(api: FakeApi) -> None:
    api.server.answer = lambda _: (503, {"detail": "catalog is down"})

    with pytest.raises(StageUnavailable, match="catalog is down"):
        client_of(api).newest()


def degraded(api: FakeApi) -> None:
    """Its answers go on, and say that they may be old."""
    answer = api.answer

    def aged(request: Request) -> Answer:
        status, body = answer(request)
        meta = {"as_of": "2026-01-01T00:00:00", "degraded": True, "reason": "catalog is down"}
        return status, {**body, "meta": meta}

    api.server.answer = aged


def test_what_a_degraded_answer_shows_is_there(api: FakeApi) -> None:
    api.put("BTC", 1)
    degraded(api)

    assert {"BTC": Sighting(1, time_of(1))} == client_of(api).newest(["BTC"])


def test_what_a_degraded_answer_lacks_is_not_known_to_be_lost(api: FakeApi) -> None:
    api.put("BTC", 1)
    degraded(api)

    with pytest.raises(StageUnavailable, match=r"as of 2026-01-01T00:00:00: catalog is down") as it:
        rows_of(api, "BTC")

    assert "degraded" == it.value.reason


def test_a_key_that_the_api_has_never_seen_has_no_records(api: FakeApi) -> None:
    api.put("BTC", 1)
    answer = api.answer

    def strict(request: Request) -> Answer:
        if request.query.get("symbol") == "NEVER":
            return 404, {"success": False, "code": "unknown-symbol", "reason": "never traded"}
        return answer(request)

    api.server.answer = strict

    assert {"BTC"} == client_of(api).newest(["BTC", "NEVER"]).keys()
    assert [("BTC", 1)] == rows_of(api, "NEVER", "BTC")


def test_a_path_that_is_wrong_is_not_taken_for_a_key_without_records(api: FakeApi) -> None:
    api.put("BTC", 1)
    api.server.answer = lambda _: (404, {"success": False, "code": "http", "reason": "Not Found"})

    with pytest.raises(StageBlind, match=r"api\.newest"):
        rows_of(api, "BTC")


@pytest.mark.parametrize("answer", [[], {"data": None}, {"data": [{"symbol": "BTC"}]}])
def test_an_answer_without_records_makes_us_blind(api: FakeApi, answer: Any) -> None:
    api.server.answer = lambda _: (200, answer)

    with pytest.raises(StageBlind, match=r"api\.newest"):
        client_of(api).newest()


def test_an_event_time_that_is_none_makes_us_blind(api: FakeApi) -> None:
    api.put("BTC", 1)
    api.trades[0]["timestamp"] = "yesterday"
    api.server.answer = lambda _: (200, {"data": api.trades})

    with pytest.raises(StageBlind, match="yesterday"):
        client_of(api).newest()


def test_event_times_with_a_zone_are_understood(api: FakeApi) -> None:
    api.put("BTC", 1)
    api.trades[0]["timestamp"] = (time_of(1) + timedelta(hours=2)).isoformat()[:-6] + "+02:00"
    api.server.answer = lambda _: (200, {"data": api.trades})

    assert {"BTC": Sighting(1, time_of(1))} == client_of(api).newest()


def test_health_is_the_apis_own_word_even_when_it_is_unhealthy(api: FakeApi) -> None:
    api.health = (503, {"status": "unhealthy"})

    assert {"status": "unhealthy"} == client_of(api).health()


def test_latency_is_that_of_one_request(api: FakeApi) -> None:
    clock = FakeClock()
    client = ApiClient(api.api, RECORD, clock=clock)
    answer = api.answer

    def slow(request: Request) -> Answer:
        clock.seconds += 0.25
        return answer(request)

    api.server.answer = slow

    assert 0.25 == client.latency()
