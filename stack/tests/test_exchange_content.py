"""The derivation of a trade, against its own documentation."""

from decimal import Decimal
from hashlib import blake2b

import pytest

from exchange.content import base_price, content_of, decimal_text, quote_quantity


def test_a_trade_is_what_the_documented_function_says() -> None:
    raw = blake2b(b"7:BTCUSDT:42", digest_size=16).digest()
    base = 97_000 * 10**8
    content = content_of(7, "BTCUSDT", 42)
    offset = int.from_bytes(raw[:8], "big") % 20_001 - 10_000
    assert content.price == base + base * offset // 1_000_000
    assert content.quantity == 1_000 + int.from_bytes(raw[8:15], "big") % 500_000_000
    assert content.buyer_is_maker is (raw[15] % 2 == 1)


def test_a_published_trade_never_changes() -> None:
    """These literals are what pipelines already hold; a change here falsifies their records."""
    first = content_of(7, "BTCUSDT", 1)
    assert decimal_text(first.price) == "97832.74500000"
    assert decimal_text(first.quantity) == "4.59771940"
    assert first.buyer_is_maker is True
    assert decimal_text(quote_quantity(first)) == "449807.50964175"


@pytest.mark.parametrize("symbol", ["BTCUSDT", "DOGEUSDT", "NEWUSDT"])
def test_prices_stay_within_one_percent_of_the_base(symbol: str) -> None:
    base = base_price(symbol)
    for trade_id in range(1, 2_000):
        content = content_of(7, symbol, trade_id)
        assert abs(content.price - base) <= base // 100 + 1
        assert 1_000 <= content.quantity < 500_001_000


def test_another_seed_or_symbol_is_another_trade() -> None:
    assert content_of(7, "BTCUSDT", 1) != content_of(8, "BTCUSDT", 1)
    assert content_of(7, "AAAUSDT", 1) != content_of(7, "BBBUSDT", 1)


@pytest.mark.parametrize(
    "units, text",
    [(1, "0.00000001"), (9_700_010_000_000, "97000.10000000"), (100_000_000, "1.00000000")],
)
def test_numbers_are_written_with_eight_places(units: int, text: str) -> None:
    assert decimal_text(units) == text
    assert Decimal(text).scaleb(8) == units
