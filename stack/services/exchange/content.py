"""What a trade says: a pure function of (seed, symbol, id), so that anyone can verify any record.

Only the event time is not derived; it is on the tape. The rest, in integers throughout:

    digest    = blake2b(ASCII "{seed}:{symbol}:{id}", digest_size=16)
    price     = base + base * (u64(digest[0:8]) mod 20001 - 10000) // 1000000      (within 1 %)
    quantity  = 1000 + u56(digest[8:15]) mod 500000000
    m         = digest[15] is odd           (the buyer is the maker: the taker sold)

Integers are big-endian and unsigned, // rounds towards minus infinity, and price, quantity
and base count units of 10^-8. The base of a symbol is in `BASE_PRICES`; of any other it is

    base      = 1000000 + u64(blake2b(ASCII "{symbol}", digest_size=8)) mod 100000000000

Numbers are written as Binance does, as strings with eight decimals: 9700010000000 is
"97000.10000000".
"""

from hashlib import blake2b
from typing import NamedTuple

UNIT = 10**8
BASE_PRICES = {
    "BTCUSDT": 97_000 * UNIT,
    "ETHUSDT": 3_400 * UNIT,
    "BNBUSDT": 690 * UNIT,
    "SOLUSDT": 190 * UNIT,
    "XRPUSDT": 230_000_000,
    "ADAUSDT": 92_000_000,
    "DOGEUSDT": 32_000_000,
    "AVAXUSDT": 38 * UNIT,
    "DOTUSDT": 710_000_000,
    "LINKUSDT": 22 * UNIT,
    "LTCUSDT": 105 * UNIT,
    "TRXUSDT": 26_000_000,
}


class Content(NamedTuple):
    """The derived part of one trade, price and quantity in units of 10^-8."""

    price: int
    quantity: int
    buyer_is_maker: bool


def base_price(symbol: str) -> int:
    """Return the price around which *symbol* trades, in units of 10^-8."""
    known = BASE_PRICES.get(symbol)
    if known is not None:
        return known
    digest = blake2b(symbol.encode("ascii"), digest_size=8).digest()
    return 1_000_000 + int.from_bytes(digest, "big") % 100_000_000_000


def content_of(seed: int, symbol: str, trade_id: int) -> Content:
    """Derive the trade *trade_id* of *symbol*."""
    digest = blake2b(b"%d:%b:%d" % (seed, symbol.encode("ascii"), trade_id), digest_size=16)
    raw = digest.digest()
    base = base_price(symbol)
    offset = int.from_bytes(raw[0:8], "big") % 20_001 - 10_000
    return Content(
        price=base + base * offset // 1_000_000,
        quantity=1_000 + int.from_bytes(raw[8:15], "big") % 500_000_000,
        buyer_is_maker=raw[15] & 1 == 1,
    )


def decimal_text(units: int) -> str:
    """Write a count of 10^-8 units as a decimal with eight places."""
    return f"{units // UNIT}.{units % UNIT:08d}"


def quote_quantity(content: Content) -> int:
    """Return price times quantity in units of 10^-8, rounded down."""
    return content.price * content.quantity // UNIT
