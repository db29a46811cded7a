"""The API's bugs on purpose: each does what it says, and without it nothing of the kind."""

from pathlib import Path

import pytest
from test_api_follower import NOW
from test_api_routes import Api

WHICH = ["without", "with"]


def batch(api: Api, number: int) -> None:
    """A file of ten trades more."""
    first = 10 * number
    api.lake.add(*((NOW + first + n, "BTCUSDT", first + n) for n in range(10)))


async def newest(api: Api) -> int:
    (row,) = await api.data("/v1/trades?limit=1")
    return int(row["source_sequence"])


@pytest.mark.parametrize("bugs", [(), ("api-goes-back",)], ids=WHICH)
async def test_every_tenth_answer_is_from_the_snapshot_before(
    bugs: tuple[str, ...], tmp_path: Path
) -> None:
    api = Api(tmp_path, *bugs)
    for number in range(3):
        batch(api, number)
        api.follower.look()

    found = [await newest(api) for _ in range(20)]
    tenth = (await api.get("/v1/trades?limit=1")).json()["meta"]

    assert [19 if bugs and n % 10 == 9 else 29 for n in range(20)] == found
    assert tenth["degraded"] is False


@pytest.mark.parametrize("bugs", [(), ("api-goes-back",)], ids=WHICH)
async def test_with_one_snapshot_there_is_nowhere_to_go_back_to(
    bugs: tuple[str, ...], tmp_path: Path
) -> None:
    api = Api(tmp_path, *bugs)
    batch(api, 0)
    api.follower.look()

    assert {9} == {await newest(api) for _ in range(20)}


@pytest.mark.parametrize(
    "bugs, missing", [((), set()), (("api-partial",), set(range(10, 30)))], ids=WHICH
)
async def test_of_many_new_files_the_older_are_passed_over_and_the_answer_is_200(
    bugs: tuple[str, ...], missing: set[int], tmp_path: Path
) -> None:
    api = Api(tmp_path, *bugs)
    batch(api, 0)
    api.follower.look()
    for number in range(1, 6):
        batch(api, number)
    api.follower.look()

    rows = await api.data("/v1/trades?limit=100")

    assert set(range(60)) - missing == {row["source_sequence"] for row in rows}


async def test_files_that_come_one_by_one_are_all_read_even_with_the_bug(tmp_path: Path) -> None:
    api = Api(tmp_path, "api-partial")
    for number in range(6):
        batch(api, number)
        api.follower.look()

    assert 60 == len(await api.data("/v1/trades?limit=100"))


@pytest.mark.parametrize("bugs", [(), ("api-always-healthy",)], ids=WHICH)
async def test_an_api_that_knows_nothing_newer_for_long_calls_itself_healthy(
    bugs: tuple[str, ...], tmp_path: Path
) -> None:
    api = Api(tmp_path, *bugs)
    batch(api, 0)
    api.follower.look()
    api.kafka_trouble = ConnectionError("away")
    api.kafka.ask_once()
    api.ahead = 60.0

    told = (await api.get("/health")).json()

    assert told["status"] == ("healthy" if bugs else "degraded")
    assert bool(told["message"]) is not bool(bugs)
    assert 60 == pytest.approx(told["confirmed_seconds_ago"], abs=5)
