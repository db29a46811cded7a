"""Rates and how far they may be off, against published values."""

import math

import pytest

from tools.e2e.intervals import Rate


@pytest.mark.parametrize(
    "good, of, low, high",
    [
        # Newcombe, Statistics in Medicine 17 (1998), p. 857-872, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(good: int, of: int, low: float, high: float) -> None:
    rate = Rate(good, of)

    assert rate.low == pytest.approx(low, abs=5e-5)
    assert rate.high == pytest.approx(high, abs=5e-5)


def test_all_of_fifty_does_not_show_that_nothing_can_fail() -> None:
    assert Rate(50, 50).high == 1.0
    assert Rate(50, 50).low == pytest.approx(0.9287, abs=1e-4)


def test_a_rate_is_never_rounded_up_to_all() -> None:
    assert "= 99.99 %" in str(Rate(99_999, 100_000))
    assert "2 of 2 = 100.00 %" in str(Rate(2, 2))


def test_nothing_counted_is_no_rate() -> None:
    assert math.isnan(Rate(0, 0).share)
    assert (0.0, 1.0) == (Rate(0, 0).low, Rate(0, 0).high)
    assert "nothing counted" == str(Rate(0, 0))
