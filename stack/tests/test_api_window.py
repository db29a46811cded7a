"""The rows in memory: any order of arrival gives the same answers as one sorted list."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from query_api import answers, census, trades
from query_api.trades import COLUMNS, Wanted, Window

Row = tuple[int, str, int]
SYMBOLS = ("AAA", "BBB", "CCC")
a_row = st.tuples(st.integers(0, 60), st.sampled_from(SYMBOLS), st.integers(1, 10**6))
batches = st.lists(st.lists(a_row, min_size=1, max_size=12), max_size=8)


def table(*rows: Row) -> pa.Table:
    filled: list[dict[str, Any]] = [
        dict.fromkeys(COLUMNS.names)
        | {"timestamp": time, "symbol": symbol, "source_sequence": sequence, "exchange": "BINANCE"}
        for time, symbol, sequence in rows
    ]
    return pa.Table.from_pylist(filled, schema=COLUMNS)


def plain(rows: pa.Table) -> list[Row]:
    times = trades.microseconds(rows).to_pylist()
    columns = (rows[name].to_pylist() for name in ("symbol", "source_sequence"))
    return list(zip(times, *columns, strict=True))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trades, "_CHUNK_ROWS", 5)


def filled(parts: list[list[Row]]) -> Window:
    window = Window()
    for part in parts:
        window = window.extended(table(*part))
    return window


@given(batches, st.integers(0, 40))
@settings(deadline=None)
def test_the_newest_rows_are_the_same_whatever_order_they_came_in(
    parts: list[list[Row]], count: int
) -> None:
    expected = sorted((row for part in parts for row in part), reverse=True)[:count]
    assert plain(filled(parts).newest(Wanted(), count)) == expected


@given(batches, st.sampled_from(SYMBOLS), st.integers(0, 60), st.integers(0, 60))
@settings(deadline=None)
def test_symbol_and_times_are_obeyed(
    parts: list[list[Row]], symbol: str, start: int, end: int
) -> None:
    wanted = Wanted(symbol=symbol, start=start, end=end)
    rows = sorted((row for part in parts for row in part), reverse=True)
    expected = [row for row in rows if row[1] == symbol and start <= row[0] < end]
    window = filled(parts)
    assert plain(window.newest(wanted, 1000)) == expected
    assert window.count(wanted) == len(expected)


@given(batches)
@settings(deadline=None)
def test_no_chunk_begins_before_the_one_ahead_of_it_ends(parts: list[list[Row]]) -> None:
    chunks = [plain(chunk) for chunk in filled(parts).chunks]
    together = [row for chunk in chunks for row in chunk]
    assert together == sorted(together)


@given(batches, st.integers(0, 60))
@settings(deadline=None)
def test_what_is_kept_since_a_time_is_complete_since_then(
    parts: list[list[Row]], cutoff: int
) -> None:
    window = filled(parts).since(cutoff)
    expected = sorted((r for part in parts for r in part if r[0] >= cutoff), reverse=True)
    assert plain(window.newest(Wanted(), 1000)) == expected
    assert window.complete_since == cutoff
    assert window.covers(Wanted(start=cutoff))
    assert not window.covers(Wanted())


@given(batches, st.integers(1, 30))
@settings(deadline=None)
def test_a_bounded_window_still_keeps_its_promise(parts: list[list[Row]], most: int) -> None:
    window = filled(parts).bounded(most)
    since = window.complete_since
    rows = [row for part in parts for row in part if since is None or row[0] >= since]
    assert plain(window.newest(Wanted(), 1000)) == sorted(rows, reverse=True)


def test_rows_from_before_the_window_are_left_out() -> None:
    window = Window(complete_since=10).extended(table((5, "AAA", 1), (10, "AAA", 2)))
    assert plain(window.newest(Wanted(), 9)) == [(10, "AAA", 2)]


def test_a_window_covers_what_begins_after_its_start() -> None:
    window = Window(complete_since=10)
    assert window.covers(Wanted(start=10))
    assert not window.covers(Wanted(start=9))
    assert not window.covers(Wanted(end=20))


@given(batches)
@settings(deadline=None)
def test_the_census_of_parts_adds_up_to_that_of_the_whole(parts: list[list[Row]]) -> None:
    whole = [row for part in parts for row in part]
    expected = census.taken(table(*whole)) if whole else {}
    assert census.total(census.taken(table(*part)) for part in parts) == expected


def test_a_trade_is_written_as_the_contract_says() -> None:
    at = datetime(2026, 11, 22, 15, 1, tzinfo=UTC).replace(tzinfo=None)
    row = dict.fromkeys(COLUMNS.names, "x") | {
        "timestamp": at, "ingestion_timestamp": at, "price": Decimal("97000.1"),
        "quantity": Decimal("0.0012"), "source_sequence": 7, "platform_sequence": None,
        "trade_conditions": '["a"]', "vendor_data": None,
    }  # fmt: skip
    text = answers.trades(pa.Table.from_pylist([row], schema=COLUMNS))
    assert b'"timestamp":"2026-11-22T15:01:00.000000"' in text
    assert b'"price":97000.1,"quantity":0.0012' in text
    assert b'"trade_conditions":["a"]' in text
    assert b'"vendor_data":null' in text


@given(st.decimals(min_value=0, max_value=10**9, places=8))
def test_prices_are_the_nearest_double(price: Decimal) -> None:
    at = datetime(2026, 11, 22, tzinfo=UTC).replace(tzinfo=None)
    row = dict.fromkeys(COLUMNS.names) | {
        "timestamp": at, "ingestion_timestamp": at, "price": price, "quantity": price
    }  # fmt: skip
    written = answers.orjson.loads(answers.trades(pa.Table.from_pylist([row], schema=COLUMNS)))
    assert written[0]["price"] == float(price)
