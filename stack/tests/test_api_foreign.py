"""Rows of other writers: the API reads on, and what it tells of them is right."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sink_catalog import Lake as Store
from test_api_follower import NOW, table_of
from test_api_routes import Api
from test_sink_table import NAME, OWNED, opened, step

from query_api import answers
from query_api.follower import Follower
from query_api.lake import FOREVER, Lake, UnreadableTableError, read
from query_api.queries import from_memory
from query_api.trades import COLUMNS, Wanted

YEAR_2999 = 32_472_144_000_000_000
LATEST = 2**63 - 1


@pytest.fixture
def api(tmp_path: Path) -> Api:
    one = Api(tmp_path)
    one.lake.add((NOW, "BTCUSDT", 1), (NOW + 1, "ETHUSDT", 2))
    one.follower.look()
    return one


def with_column(rows: pa.Table, name: str, value: Any, kind: pa.DataType | None = None) -> pa.Table:
    at = rows.schema.get_field_index(name)
    column = pa.array([value] * rows.num_rows, kind or rows.schema.field(name).type)
    return rows.set_column(at, name, column)


def put(api: Api, rows: pa.Table, *, known: bool = True) -> None:
    """Add a file of *rows*, with or without statistics, and look at it."""
    times = rows["timestamp"].cast(pa.int64()).to_pylist()
    bounds = (min(times), max(times)) if known else FOREVER
    api.lake.put(rows, *bounds)
    api.follower.look()


async def newest(api: Api, query: str = "limit=1") -> dict[str, Any]:
    found: dict[str, Any] = (await api.data(f"/v1/trades?{query}"))[0]
    return found


async def test_what_a_row_may_lack_is_null(api: Api) -> None:
    foreign = table_of((NOW + 9, "BTCUSDT", 9))
    for name in ("trade_conditions", "source_sequence", "platform_sequence", "vendor_data"):
        foreign = with_column(foreign, name, None)
    put(api, foreign)
    told = await newest(api)
    assert told["timestamp"] == answers.microsecond(NOW + 9)
    assert {told[name] for name in ("source_sequence", "vendor_data")} == {None}
    assert len(await api.data("/v1/trades")) == 3


@pytest.mark.parametrize("name", ["timestamp", "symbol", "exchange", "price", "message_id"])
async def test_a_file_whose_rows_lack_what_they_must_have_is_not_told_as_if(
    api: Api, name: str
) -> None:
    good = table_of((NOW + 9, "BTCUSDT", 9))
    api.lake.put(with_column(good, name, None), NOW + 9, NOW + 9)
    with pytest.raises(UnreadableTableError, match=f"rows without {name}"):
        api.follower.look()
    # As before: the view of the snapshot ahead of it, whose age says that there is trouble.
    assert [one["source_sequence"] for one in await api.data("/v1/trades")] == [2, 1]
    api.ahead = 60.0
    body = (await api.get("/v1/stats")).json()
    assert (body["data"]["trades"], body["meta"]["degraded"]) == (2, True)


async def test_another_exchange_is_told_apart(api: Api) -> None:
    put(api, with_column(table_of((NOW + 9, "BTCUSDT", 9)), "exchange", "KRAKEN"))
    (told,) = await api.data("/v1/trades?exchange=KRAKEN")
    assert told["source_sequence"] == 9
    assert len(await api.data("/v1/trades?exchange=BINANCE")) == 2
    symbols = {(one["symbol"], one["exchange"]): one["trades"] for one in await symbols_of(api)}
    assert (symbols["BTCUSDT", "KRAKEN"], symbols["BTCUSDT", "BINANCE"]) == (1, 1)


async def symbols_of(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await api.data("/v1/symbols")
    return found


@pytest.mark.parametrize(
    "time, told",
    [
        (YEAR_2999, "2999-01-01T00:00:00.000000"),
        (253_402_300_800_000_000, "+010000-01-01T00:00:00.000000"),
        (LATEST, "+294247-01-10T04:00:54.775807"),
        (-(2**63) + 1, "-290308-12-21T19:59:05.224193"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
async def test_a_row_of_another_age_is_told_and_hides_no_other(
    api: Api, time: int, told: str, *, known: bool
) -> None:
    put(api, table_of((time, "ODD", 9)), known=known)
    assert (await newest(api, "symbol=ODD"))["timestamp"] == told
    (odd,) = [one for one in await symbols_of(api) if one["symbol"] == "ODD"]
    assert odd["last_timestamp"] == told
    assert (await api.data("/v1/stats"))["trades"] == 3
    api.lake.add((NOW + 5, "BTCUSDT", 5))
    api.follower.look()
    times = f"start_time={answers.microsecond(NOW)}&end_time={answers.microsecond(NOW + 99)}"
    found = await api.data(f"/v1/trades?{times}")
    assert [one["source_sequence"] for one in found] == [5, 2, 1]


@pytest.mark.parametrize(
    "text, told",
    [
        ('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}),
        ("not JSON", "not JSON"),
        ("", ""),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ('{"a":', '{"a":'),
        ('"\\ud800"', '"\\ud800"'),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ('</script>"\n\x00\u2028', '</script>"\n\x00\u2028'),
        ("[" * 500 + "]" * 500, "[" * 500 + "]" * 500),
        ("[" * 5000 + "]" * 5000, "[" * 5000 + "]" * 5000),
        ("x" * 100_000, "x" * 100_000),
    ],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("name", ["vendor_data", "trade_conditions"])
async def test_strange_text_is_told_as_it_is(api: Api, name: str, text: str, told: Any) -> None:
    put(api, with_column(table_of((NOW + 9, "BTCUSDT", 9)), name, text))
    response = await api.get("/v1/trades?limit=2")
    assert response.status_code == 200
    assert [one[name] for one in json.loads(response.content)["data"]] == [told, "x"]


async def test_text_that_is_not_utf_8_is_told_with_what_can_be_read_of_it(api: Api) -> None:
    raw = with_column(table_of((NOW + 9, "BTCUSDT", 9)), "vendor_data", b"a\xffb", pa.binary())
    at = raw.schema.get_field_index("vendor_data")
    buffers = raw["vendor_data"].chunk(0).buffers()
    wrong = pa.Array.from_buffers(pa.string(), 1, buffers)
    put(api, raw.set_column(at, "vendor_data", wrong))
    assert (await newest(api))["vendor_data"] == "a\ufffdb"


async def test_columns_are_known_by_name_and_more_of_them_do_no_harm(api: Api) -> None:
    foreign = table_of((NOW + 9, "BTCUSDT", 9)).select(COLUMNS.names[::-1])
    foreign = foreign.append_column("note", pa.array(["ours"])).drop_columns(["vendor_data"])
    put(api, foreign)
    told = await newest(api)
    assert (told["source_sequence"], told["symbol"]) == (9, "BTCUSDT")
    assert (told["vendor_data"], told.keys()) == (None, set(COLUMNS.names))


async def test_other_types_of_the_same_values_are_understood(api: Api) -> None:
    at = datetime.fromtimestamp(0, UTC)
    foreign = table_of((NOW + 9, "BTCUSDT", 9))
    foreign = with_column(foreign, "timestamp", NOW + 9, pa.timestamp("us", "UTC"))
    foreign = with_column(foreign, "ingestion_timestamp", at, pa.timestamp("ms"))
    foreign = with_column(foreign, "price", 2, pa.decimal128(38, 8))
    foreign = with_column(foreign, "symbol", "BTCUSDT", pa.large_string())
    put(api, foreign)
    told = await newest(api)
    assert (told["price"], told["symbol"]) == (2.0, "BTCUSDT")
    assert told["timestamp"] == answers.microsecond(NOW + 9)


async def test_a_file_without_statistics_is_read_and_counted(api: Api) -> None:
    put(api, table_of((NOW + 9, "NEW", 9), (NOW - 99, "NEW", 8)), known=False)
    assert [one["source_sequence"] for one in await api.data("/v1/trades")] == [9, 2, 1, 8]
    assert (await api.data("/v1/stats"))["symbols"] == 3


def test_a_real_file_without_statistics_has_no_bounds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    opened(store).append(step("a", 1, 2), OWNED)
    table = store.load_table(NAME)
    with table.transaction() as change:
        names = ("default", *(f"column.{name}" for name in COLUMNS.names))
        change.set_properties({f"write.metadata.metrics.{name}": "none" for name in names})
    opened(store).append(step("b", 7), OWNED)
    lake = Lake(lambda: store, lambda: store, NAME)
    bounds = [(file.first, file.last) for file in lake.files(lake.current()).values()]
    assert FOREVER in bounds
    assert len(bounds) == 2
    following = Follower(lake)
    following.look()
    assert following.confirmed is not None
    page = from_memory(following.confirmed.view, Wanted(), 0, 3)
    assert page is not None
    assert sorted(page.rows["source_sequence"].to_pylist()) == [1, 2, 7]


def test_a_column_that_a_file_lacks_is_read_as_nulls(tmp_path: Path) -> None:
    api = Api(tmp_path)
    path = api.lake.put(table_of((NOW, "A", 1)).drop_columns(["vendor_data"]), NOW, NOW)
    assert read(api.lake.io, path).schema == COLUMNS
    path = api.lake.put(table_of((NOW, "A", 1)).drop_columns(["price"]), NOW, NOW)
    with pytest.raises(UnreadableTableError, match="without price"):
        read(api.lake.io, path)
