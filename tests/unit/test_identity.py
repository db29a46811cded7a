from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.identity import joined, number_of, records_of
from k2chaos.evidence.records import RECORDS

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
MICROS = 1_767_225_600_000_000


def sequences(*fields: object, prefix: str = "BINANCE-") -> list[int]:
    count = len(fields)
    table = records_of(["BTC"] * count, list(fields), [MICROS] * count, prefix)
    found: list[int] = table["sequence"].to_pylist()
    return found


def test_the_number_stands_behind_the_prefix() -> None:
    assert [1, 42] == sequences("BINANCE-1", "BINANCE-42")


@pytest.mark.parametrize(
    "field",
    ["KRAKEN-1", "BINANCE-", "BINANCE-x", "xBINANCE-1", "BINANCE-1x", "BINANCE--1", "", None],
)
def test_what_is_no_number_behind_the_prefix_is_no_record(field: Any) -> None:
    assert [7] == sequences("BINANCE-7", field)


def test_a_number_too_long_for_a_sequence_is_no_record() -> None:
    assert [] == sequences("BINANCE-" + "9" * 19)


@pytest.mark.parametrize("prefix", ["BINANCE-", ""])
@pytest.mark.parametrize(
    "field",
    ["BINANCE-7", "KRAKEN-1", "BINANCE-", "BINANCE-x", "BINANCE--1", "BINANCE-\u0663", "", None, 7]
    + ["BINANCE-" + "9" * digits for digits in (18, 19)],
)
def test_one_field_is_read_as_a_column_of_them(field: Any, prefix: str) -> None:
    number = number_of(field, prefix)

    assert sequences(field, prefix=prefix) == ([] if number is None else [number])


@pytest.mark.parametrize("prefix", ["", "a.b*", "(", "\\", "$^"])
def test_a_prefix_means_itself(prefix: Any) -> None:
    assert [5] == sequences(f"{prefix}5", "ab5" if prefix else "x", prefix=prefix)


def test_a_number_without_prefix_may_come_as_one() -> None:
    assert [1, 2] == sequences(1, 2, prefix="")


@pytest.mark.parametrize(
    "times",
    [
        [MICROS],
        [MOMENT],
        [MOMENT.replace(tzinfo=None)],
        pa.array([MOMENT], pa.timestamp("us", tz="+02:00")),
        pa.array([MOMENT], pa.timestamp("ms")),
        pa.chunked_array([pa.array([MOMENT], pa.timestamp("ns", tz="UTC"))]),
    ],
    ids=["micros", "aware", "naive", "zone", "millis", "nanos"],
)
def test_event_times_become_utc_whatever_they_come_as(times: Any) -> None:
    table = records_of(["BTC"], ["1"], times, "")

    assert RECORDS == table.schema
    assert [MOMENT] == table["event_time"].to_pylist()


def test_a_record_without_key_or_time_is_none() -> None:
    table = records_of([None, "BTC", "ETH"], ["1", "2", "3"], [MICROS, None, MICROS], "")

    assert ["ETH"] == table["key"].to_pylist()


def test_no_rows_make_no_records() -> None:
    assert 0 == records_of([], [], [], "BINANCE-").num_rows
    assert RECORDS == joined([]).schema


@pytest.mark.parametrize("offsets", [None, {}, {0: 5, 39: 7}])
def test_a_baseline_survives_its_json(offsets: Any) -> None:
    baseline = Baseline(MOMENT, {"BTC": 5}, offsets)

    assert baseline == Baseline.from_json(baseline.to_json())
