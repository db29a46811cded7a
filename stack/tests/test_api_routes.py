"""The API as its users see it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_api_follower import MINUTE, NOW, WINDOW_MICROS, Lake

from query_api.app import create_app
from query_api.dependencies import Catalog, Probe
from query_api.follower import Follower
from query_api.service import Service

KEY = "right"
SECONDS = 1.0


class Api:
    """The application over a table on disk, with a clock that can be moved."""

    def __init__(self, folder: Path, *bugs: str) -> None:
        self.lake = Lake(folder)
        self.follower = Follower(self.lake, bugs)
        self.ahead = 0.0
        self.kafka = Probe("kafka", self.ask_kafka)
        self.kafka_trouble: Exception | None = None
        self.kafka.ask_once()
        clock = lambda: time.monotonic() + self.ahead  # noqa: E731
        dependencies = [Catalog(self.follower), self.kafka]
        self.history: Callable[[], list[dict[str, Any]]] = lambda: [{"snapshot_id": 1}]
        history = lambda: self.history()  # noqa: E731, PLW0108 - it may be replaced
        self.service = Service(
            self.follower, dependencies, history, clock, bugs=bugs, seconds=SECONDS
        )
        self.app = create_app(self.service, KEY)

    def ask_kafka(self) -> None:
        if self.kafka_trouble:
            raise self.kafka_trouble

    async def get(self, path: str, key: str | None = KEY) -> httpx.Response:
        headers = {} if key is None else {"X-API-Key": key}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.get(path, headers=headers)

    async def data(self, path: str) -> Any:
        response = await self.get(path)
        assert response.status_code == 200, response.text
        return response.json()["data"]


@pytest.fixture
def api(tmp_path: Path) -> Api:
    one = Api(tmp_path)
    one.lake.add(*((NOW + n, "BTCUSDT", n) for n in range(5)), (NOW + 2, "ETHUSDT", 1))
    one.follower.look()
    return one


async def test_without_a_key_nothing_is_told(api: Api) -> None:
    for path in ("/v1/trades", "/v1/symbols", "/v1/stats", "/v1/snapshots"):
        response = await api.get(path, key=None)
        assert response.status_code == 401
        assert response.json()["success"] is False


@pytest.mark.parametrize("key", ["wrong", "right ", "RIGHT", "ö"])
async def test_a_wrong_key_is_refused_even_with_bad_parameters(api: Api, key: str) -> None:
    transport = httpx.ASGITransport(api.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        headers = {"X-API-Key": key.encode()}
        response = await client.get("/v1/trades?limit=x", headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "wrong-key")


async def test_trades_come_newest_first_with_one_snapshot(api: Api) -> None:
    response = await api.get("/v1/trades?limit=3")
    body = response.json()
    assert [t["source_sequence"] for t in body["data"]] == [4, 3, 1]
    assert body["success"] is True
    assert body["meta"]["snapshot_id"] == 1
    assert body["pagination"] == {"limit": 3, "offset": 0, "total": 6, "has_more": True}


async def test_pages_fit_together(api: Api) -> None:
    whole = await api.data("/v1/trades?limit=6")
    parts = [(await api.data(f"/v1/trades?limit=2&offset={at}")) for at in (0, 2, 4)]
    assert [trade for part in parts for trade in part] == whole


async def test_the_last_page_says_so(api: Api) -> None:
    body = (await api.get("/v1/trades?limit=4&offset=4")).json()
    assert body["pagination"] == {"limit": 4, "offset": 4, "total": 6, "has_more": False}


async def test_a_symbol_narrows(api: Api) -> None:
    body = (await api.get("/v1/trades?symbol=ETHUSDT&exchange=BINANCE")).json()
    assert [t["symbol"] for t in body["data"]] == ["ETHUSDT"]
    assert body["pagination"]["total"] == 1


async def test_a_range_includes_its_start_and_excludes_its_end(api: Api) -> None:
    start = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=NOW + 1)
    end = start + timedelta(microseconds=2)
    times = f"start_time={start:%Y-%m-%dT%H:%M:%S.%f}&end_time={end:%Y-%m-%dT%H:%M:%S.%f}Z"
    found = await api.data(f"/v1/trades?{times}&symbol=BTCUSDT")
    assert [t["source_sequence"] for t in found] == [2, 1]


async def test_older_trades_are_read_from_the_files(api: Api) -> None:
    old = NOW - WINDOW_MICROS - 10 * MINUTE
    api.lake.add((old, "BTCUSDT", 77))
    api.follower.confirmed = None
    api.follower.look()
    assert (await api.data("/v1/stats"))["in_memory_since"] is not None
    found = await api.data("/v1/trades?end_time=" + _iso(old + 1))
    assert [t["source_sequence"] for t in found] == [77]


def _iso(micros: int) -> str:
    at = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros)
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}"


@pytest.mark.parametrize("what", ["symbol=NOPE", "exchange=NYSE", "symbol=btcusdt"])
async def test_a_symbol_the_table_never_had_is_not_found(api: Api, what: str) -> None:
    response = await api.get(f"/v1/trades?{what}")
    assert response.status_code == 404
    assert response.json()["code"] == "unknown-symbol"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/trades?limit=0", "/v1/trades?limit=10001", "/v1/trades?limit=1000000000",
        "/v1/trades?limit=x", "/v1/trades?offset=-1", "/v1/trades?symbl=BTCUSDT",
        "/v1/trades?symbol=", "/v1/trades?start_time=yesterday", "/v1/symbols?limit=1",
        "/v1/trades?start_time=2026-01-02T00:00:00&end_time=2026-01-02T00:00:00",
        "/v1/snapshots?limit=0", "/v1/trades?limit=", "/v1/trades?limit=1.5",
        "/v1/trades?offset=1000000000", "/v1/trades?limit=99999999999999999999999999",
        "/v1/trades?start_time=2026-13-01T00:00:00", "/v1/trades?end_time=1e400",
        "/v1/trades?end_time=99999-01-01T00:00:00", "/v1/trades?limit=5&limit=x",
        "/v1/trades?symbol=" + 65 * "A", "/v1/trades?symbol=" + 60_000 * "A",
        "/v1/stats?x=1", "/v1/trades?" + "&".join(f"p{n}=1" for n in range(5_000)),
    ],
)  # fmt: skip
async def test_bad_parameters_are_refused_with_a_reason(api: Api, path: str) -> None:
    response = await api.get(path)
    assert response.status_code == 422
    assert response.json()["success"] is False
    assert response.json()["reason"]


@pytest.mark.parametrize("symbol", ["%00", "%ff%fe", "' OR 1=1 --", "../..", "☃", "%0a"])
async def test_a_strange_symbol_is_one_the_table_never_had(api: Api, symbol: str) -> None:
    response = await api.get(f"/v1/trades?symbol={symbol}")
    assert (response.status_code, response.json()["code"]) == (404, "unknown-symbol")


async def test_a_refusal_of_a_huge_query_is_itself_short(api: Api) -> None:
    query = "&".join(f"p{n}=1" for n in range(5_000))
    assert len((await api.get(f"/v1/trades?{query}")).content) < 2_500


async def test_times_at_the_ends_of_the_calendar_are_times(api: Api) -> None:
    assert await api.data("/v1/trades?end_time=0001-01-01T00:00:00Z") == []
    assert len(await api.data("/v1/trades?end_time=9999-12-31T23:59:59Z")) == 6
    for time_ in ("0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"):
        assert (await api.get(f"/v1/trades?start_time={time_}")).status_code == 422


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_changed(api: Api, method: str) -> None:
    transport = httpx.ASGITransport(api.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        response = await client.request(method, "/v1/trades", headers={"X-API-Key": KEY})
    assert (response.status_code, response.json()["success"]) == (405, False)


async def test_symbols_and_stats_count_the_whole_table(api: Api) -> None:
    symbols = {one["symbol"]: one["trades"] for one in await api.data("/v1/symbols")}
    assert symbols == {"BTCUSDT": 5, "ETHUSDT": 1}
    stats = await api.data("/v1/stats")
    assert (stats["trades"], stats["symbols"], stats["data_files"]) == (6, 2, 1)


async def test_snapshots_are_listed(api: Api) -> None:
    assert await api.data("/v1/snapshots") == [{"snapshot_id": 1}]


async def test_a_new_snapshot_is_answered_from_at_once(api: Api) -> None:
    await api.data("/v1/trades?limit=1")
    api.lake.add((NOW + 100, "BTCUSDT", 99))
    api.follower.look()
    assert [t["source_sequence"] for t in await api.data("/v1/trades?limit=1")] == [99]


async def test_an_unknown_path_is_refused_as_json(api: Api) -> None:
    response = await api.get("/v2/trades")
    assert response.status_code == 404
    assert response.json()["success"] is False


async def test_metrics_count_by_route(api: Api) -> None:
    await api.get("/v1/trades?symbol=NOPE")
    text = (await api.get("/metrics", key=None)).text
    assert 'k2_api_requests_total{route="/v1/trades",status="404"}' in text
    assert "k2_api_snapshot_confirmed_age_seconds" in text


async def test_no_question_makes_a_time_series_of_its_own(api: Api) -> None:
    await api.get("/nowhere")
    before = len((await api.get("/metrics", key=None)).text.splitlines())
    for n in range(20):
        await api.get(f"/nowhere/{n}")
        await api.get(f"/v1/trades?symbol=NOPE{n}")
    after = len((await api.get("/metrics", key=None)).text.splitlines())
    assert after - before < 20


async def test_no_more_pages_are_remembered_than_a_few(api: Api) -> None:
    for n in range(100):
        await api.data(f"/v1/trades?limit=1&offset={n}")
    assert len(api.service._pages) == 64


async def test_the_documentation_is_served(api: Api) -> None:
    assert (await api.get("/docs", key=None)).status_code == 200


def test_a_dependency_that_owes_an_answer_is_unwell() -> None:
    probe = Probe("kafka", lambda: None)
    probe.ask_once()
    now = time.monotonic()
    assert probe.read(now).healthy
    probe._asked_at = now
    assert not probe.read(now + 5).healthy
