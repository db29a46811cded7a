"""One content, one digest, however a stage spells it."""

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2chaos.evidence.digest import digests

TIMES = pa.chunked_array([pa.array([1_000, 2_000], pa.timestamp("us", tz="UTC"))])
UNITS = st.integers(-(10**17), 10**17)


def of(*content: Any) -> list[int | None]:
    found: list[int | None] = digests(TIMES, content).to_pylist()
    return found


@given(UNITS, UNITS)
def test_a_decimal_is_the_double_that_a_reader_of_json_would_make_of_it(
    first: int, second: int
) -> None:
    exact = [Decimal(units).scaleb(-8) for units in (first, second)]

    assert of([float(str(one)) for one in exact]) == of(pa.array(exact, pa.decimal128(18, 8)))


def test_decimals_wider_than_64_bits_count_too() -> None:
    wide = [Decimal(10**30 + 1), Decimal(-(10**30))]

    assert of([float(one) for one in wide]) == of(pa.array(wide, pa.decimal128(38, 2)))


@pytest.mark.parametrize(
    "one, other",
    [
        (["BUY", "SELL"], ["BUY", "BUY"]),
        ([1.5, 2.0], [1.5, 2.1]),
        ([1, 2], [1, 3]),
        ([0.00000001, 1.0], [0.0, 1.0]),
    ],
)
def test_other_content_has_another_digest_and_only_where_it_is_other(one: Any, other: Any) -> None:
    differs = [this != that for this, that in zip(one, other, strict=True)]

    assert differs == [this != that for this, that in zip(of(one), of(other), strict=True)]


def test_content_in_another_order_is_other_content() -> None:
    assert of([1.0, 1.0], [2.0, 2.0]) != of([2.0, 2.0], [1.0, 1.0])


def test_the_event_time_is_content() -> None:
    first, second = of([1.0, 1.0])

    assert first != second


@pytest.mark.parametrize("spelt", [[7, 8], [7.0, 8.0], pa.array([7, 8], pa.int32())])
def test_a_number_is_what_it_says_and_not_how_it_is_kept(spelt: Any) -> None:
    assert of([7.0, 8.0]) == of(spelt)


def test_text_may_come_encoded_and_in_pieces() -> None:
    plain = ["BUY", "SELL"]
    pieces = pa.chunked_array([["BUY"], ["SELL"]])

    assert of(plain) == of(pa.array(plain).dictionary_encode()) == of(pieces)


def test_both_zeros_are_one() -> None:
    assert of([0.0, 0.0]) == of([-0.0, -0.0])


def test_what_lacks_some_of_its_content_has_no_digest() -> None:
    texts, numbers = of(["BUY", None], [1.0, 1.0]), of(["BUY", "BUY"], [1.0, None])

    assert None is texts[1] is numbers[1]
    assert texts[0] == numbers[0] is not None


def test_content_that_is_nowhere_has_no_digest() -> None:
    assert [None, None] == of([None, None])


def test_without_content_there_is_no_digest() -> None:
    assert [None, None] == of()
