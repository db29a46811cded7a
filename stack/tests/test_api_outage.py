"""The API while what it leans on is away: it answers from what it knows, and says how old it is."""

import asyncio
import logging
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from test_api_follower import MINUTE, NOW, WINDOW_MICROS, Lake
from test_api_routes import SECONDS, Api, _iso

from query_api.desk import Desk
from query_api.follower import Follower
from query_api.refusals import RefusedError
from query_api.trades import Window
from query_api.view import DEGRADED_SECONDS, STEADY_SECONDS, Confirmed, View

READS = ("/v1/trades", "/v1/symbols", "/v1/stats")
HOURS = 7_200.0


@pytest.fixture
def api(tmp_path: Path) -> Api:
    one = Api(tmp_path)
    one.lake.add(*((NOW + n, "BTCUSDT", n) for n in range(5)), (NOW + 2, "ETHUSDT", 1))
    one.follower.look()
    return one


def remove(path: str) -> None:
    Path(path).unlink()


def hang(released: threading.Event) -> list[dict[str, object]]:
    released.wait(30)
    return []


def fail_to_look(follower: Follower, lake: Lake) -> None:
    """Look as the follower's thread does, in vain."""
    lake.failing = ConnectionError("catalog refused")
    with pytest.raises(ConnectionError):
        follower.look()
    follower.trouble = "ConnectionError: catalog refused"


@pytest.mark.parametrize("path", READS)
async def test_a_fresh_answer_says_as_of_when_it_is(api: Api, path: str) -> None:
    asked = datetime.now(UTC).replace(tzinfo=None)
    response = await api.get(path)
    meta = response.json()["meta"]
    assert 0 <= (asked - datetime.fromisoformat(meta["as_of"])).total_seconds() < 3
    assert 0 <= meta["age_seconds"] < 3
    assert meta["degraded"] is False
    assert "reason" not in meta
    assert response.headers["Age"] == str(int(meta["age_seconds"]))
    assert response.headers["X-Degraded"] == "false"


@pytest.mark.parametrize("path", READS)
async def test_reads_go_on_for_as_long_as_an_outage_lasts(api: Api, path: str) -> None:
    before = (await api.get(path)).json()
    fail_to_look(api.follower, api.lake)
    api.ahead = HOURS
    response = await api.get(path)
    body = response.json()
    assert response.status_code == 200
    if path == "/v1/stats":
        for one in (before, body):
            one["data"].pop("last_age_seconds")  # the only one that goes on
    assert body["data"] == before["data"]
    assert body["meta"]["as_of"] == before["meta"]["as_of"]
    assert body["meta"]["snapshot_id"] == before["meta"]["snapshot_id"]
    assert HOURS <= body["meta"]["age_seconds"] < HOURS + 5
    assert body["meta"]["degraded"] is True
    assert "catalog refused" in body["meta"]["reason"]
    assert HOURS <= int(response.headers["Age"]) < HOURS + 5
    assert response.headers["X-Degraded"] == "true"


async def test_the_end_of_an_outage_ends_it_for_the_readers(api: Api) -> None:
    fail_to_look(api.follower, api.lake)
    before = api.follower.confirmed
    assert before is not None
    api.follower.confirmed = Confirmed(before.view, before.at - 60, before.as_of)
    assert (await api.get("/v1/trades")).json()["meta"]["degraded"] is True
    api.lake.failing = None
    api.lake.add((NOW + 9, "BTCUSDT", 9))
    api.follower.look()
    body = (await api.get("/v1/trades?limit=1")).json()
    assert (body["data"][0]["source_sequence"], body["meta"]["degraded"]) == (9, False)


async def test_a_view_is_degraded_from_the_limit_on(api: Api) -> None:
    for ahead, degraded in ((DEGRADED_SECONDS - 1, False), (DEGRADED_SECONDS + 0.1, True)):
        api.ahead = ahead
        assert (await api.get("/v1/trades")).json()["meta"]["degraded"] is degraded


def confirmed(at: float) -> Confirmed:
    return Confirmed(View(None, None, None, {}, Window(), 0), at, datetime.now(UTC))


def told(looks: float, pause: float = 0.5, times: int = 20) -> list[bool]:
    """Whether it is degraded, ten times a second, while each look takes so many seconds."""
    known, seen = confirmed(0.0), []
    began = pause
    for _ in range(times):
        ends = began + looks
        moment = known.at
        while (moment := moment + 0.1) < ends:
            seen.append(known.is_doubtful(moment))
        known = known.renewed(known.view, began, known.as_of, ends)
        seen.append(known.is_doubtful(ends))
        began = ends + pause
    return seen


@pytest.mark.parametrize("looks", [0.02, 1.0, 2.0, 2.2, 2.6, 3.0, 4.0, 6.0, 9.0])
def test_slow_looks_do_not_flap(looks: float) -> None:
    seen = told(looks)
    assert sum(one != other for one, other in zip(seen[1:], seen[:-1], strict=True)) <= 1
    assert seen[-1] is (looks > STEADY_SECONDS)


def test_one_quick_look_after_an_outage_is_enough() -> None:
    known = confirmed(0.0).renewed(confirmed(0).view, 60.0, datetime.now(UTC), 60.1)
    assert not known.is_doubtful(60.2)


async def test_a_hanging_catalog_is_named(api: Api) -> None:
    api.lake.asked.clear()
    api.lake.silent = threading.Event()
    hanging = threading.Thread(target=api.follower.look)
    hanging.start()
    try:
        assert await asyncio.to_thread(api.lake.asked.wait, 10)
        api.ahead = 60.0
        reason = (await api.get("/v1/trades")).json()["meta"]["reason"]
        health = (await api.get("/health", key=None)).json()
    finally:
        api.lake.silent.set()
        hanging.join()
    assert "the catalog has not answered for 60 s" in reason
    (catalog,) = [one for one in health["dependencies"] if one["name"] == "iceberg-rest"]
    assert (catalog["status"], catalog["message"]) == ("unhealthy", "no answer for 60 s")


async def test_older_ranges_are_refused_while_the_store_is_away(api: Api) -> None:
    old = NOW - WINDOW_MICROS - 10 * MINUTE
    path = api.lake.add((old, "BTCUSDT", 77))
    api.follower.confirmed = None
    api.follower.look()
    remove(path)
    response = await api.get("/v1/trades?end_time=" + _iso(old + 1))
    assert (response.status_code, response.json()["code"]) == (503, "store")
    assert response.headers["Retry-After"] == "2"
    assert len(await api.data("/v1/trades?limit=6")) == 6


async def test_an_old_view_denies_no_symbol(api: Api) -> None:
    api.ahead = 60.0
    response = await api.get("/v1/trades?symbol=NEW")
    assert (response.status_code, response.json()["code"]) == (503, "stale")
    assert "as of 20" in response.json()["reason"]


async def test_the_catalogs_own_list_is_refused_while_it_is_away(api: Api) -> None:
    def refuse() -> list[dict[str, object]]:
        message = "refused"
        raise ConnectionError(message)

    api.history = refuse
    response = await api.get("/v1/snapshots")
    assert (response.status_code, response.json()["code"]) == (503, "catalog")


async def test_what_hangs_is_waited_for_no_longer_than_is_said(api: Api) -> None:
    released = threading.Event()
    api.history = lambda: hang(released)
    began = time.monotonic()
    asked = asyncio.create_task(api.get("/v1/snapshots"))
    await asyncio.sleep(0)
    for path in (*READS, "/health"):
        at = time.monotonic()
        assert (await api.get(path)).status_code == 200
        assert time.monotonic() - at < SECONDS / 2
    response = await asked
    released.set()
    assert (response.status_code, response.json()["code"]) == (503, "too-slow")
    assert SECONDS <= time.monotonic() - began < 3 * SECONDS


async def test_who_comes_when_too_many_wait_is_refused_at_once() -> None:
    released = threading.Event()
    desk = Desk("reading", 1, 0.2)
    waiting = [asyncio.create_task(desk.do(released.wait, 30)) for _ in range(9)]
    codes = [str(getattr(one, "code", one)) for one in await gathered(waiting)]
    # Those given up are still inside, for what hangs still hangs.
    with pytest.raises(RefusedError, match="8 others wait"):
        await desk.do(released.wait, 30)
    released.set()
    assert sorted(codes) == ["busy"] + 8 * ["too-slow"]


async def gathered(tasks: list[asyncio.Task[bool]]) -> list[object]:
    return list(await asyncio.gather(*tasks, return_exceptions=True))


async def test_health_is_healthy_when_all_is_well(api: Api) -> None:
    body = (await api.get("/health", key=None)).json()
    assert (body["status"], body["bugs"]) == ("healthy", [])
    assert {one["name"] for one in body["dependencies"]} == {"iceberg-rest", "kafka"}
    for one in body["dependencies"]:
        assert {"name", "status", "latency_ms", "message"} <= one.keys()
        assert one["status"] == "healthy"


async def test_a_dependency_away_degrades_health_and_no_answer(api: Api) -> None:
    api.kafka_trouble = ConnectionError("refused")
    api.kafka.ask_once()
    response = await api.get("/health", key=None)
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert "refused" in response.json()["dependencies"][1]["message"]
    assert (await api.get("/v1/trades")).json()["meta"]["degraded"] is False


async def test_a_view_that_is_not_confirmed_degrades_health(api: Api) -> None:
    api.ahead = 16.0
    response = await api.get("/health", key=None)
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert "was not confirmed for 16 s" in response.json()["message"]


async def test_an_api_that_never_read_the_table_says_so(tmp_path: Path) -> None:
    api = Api(tmp_path)
    for path in READS:
        response = await api.get(path)
        assert (response.status_code, response.json()["code"]) == (503, "no-data")
    response = await api.get("/health", key=None)
    assert (response.status_code, response.json()["status"]) == (503, "unhealthy")
    assert "never read" in response.json()["message"]


async def test_the_catalog_is_not_blamed_for_the_store(api: Api) -> None:
    path = api.lake.add((NOW + 50, "BTCUSDT", 50))
    remove(path)
    with pytest.raises(FileNotFoundError):
        api.follower.look()
    api.follower.trouble = "FileNotFoundError: the data file"
    health = (await api.get("/health", key=None)).json()
    assert {one["name"]: one["status"] for one in health["dependencies"]}[
        "iceberg-rest"
    ] == "healthy"


class Counting(Lake):
    times = 0
    asked_at = 0.0
    asked_as_of = datetime.min.replace(tzinfo=UTC)

    def current(self) -> object:
        self.times += 1
        self.asked_at, self.asked_as_of = time.monotonic(), datetime.now(UTC)
        return super().current()


@pytest.fixture
def lake_(tmp_path: Path) -> Counting:
    return Counting(tmp_path)


def test_a_view_is_as_of_the_question_not_of_the_answer(lake_: Counting) -> None:
    following = Follower(lake_)
    for _ in range(2):
        following.look()
        assert following.confirmed is not None
        assert following.confirmed.at <= lake_.asked_at
        assert following.confirmed.as_of <= lake_.asked_as_of


def test_an_outage_is_logged_once_and_so_is_its_end(
    lake_: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "query_api.follower")
    following = Follower(lake_, period_seconds=0.01)
    lake_.failing = ConnectionError("gone")
    following.start()
    _until(lambda: lake_.times > 5)
    lake_.failing = None
    _until(lambda: following.confirmed is not None)
    assert [record.message for record in caplog.records] == [
        "the table cannot be read: ConnectionError: gone",
        "the table is read again",
    ]


def _until(condition: object) -> None:
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)
