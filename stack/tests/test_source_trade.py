"""Reading the exchange, encoding TradeV2, and finding a key's partition."""

import io
import uuid
from decimal import Decimal
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binance_stream.codec import (
    TRADE_V2,
    Codec,
    UnknownWriterSchemaError,
    UnusableTradeError,
    message_id,
    scaled,
)
from binance_stream.partitioner import murmur2, partition_of
from binance_stream.settings import BadSettingError, Settings, currency_of
from binance_stream.trade import MalformedTradeError, Trade, from_frame, from_history

DATA: dict[str, Any] = {
    "e": "trade",
    "E": 1_700_000_000_001,
    "s": "BTCUSDT",
    "t": 12345,
    "p": "97000.10",
    "q": "0.00120",
    "T": 1_700_000_000_000,
    "m": True,
    "M": True,
}
TRADE = Trade("BTCUSDT", 12345, "97000.10", "0.00120", 1_700_000_000_000, buyer_is_maker=True)


def frame(**changes: object) -> bytes:
    return orjson.dumps({"stream": "btcusdt@trade", "data": {**DATA, **changes}})


def decoded(value: bytes) -> dict[str, Any]:
    record: Any = fastavro.schemaless_reader(
        io.BytesIO(value[5:]), fastavro.parse_schema(TRADE_V2), None
    )
    return dict(record)


def test_both_formats_of_the_exchange_give_the_same_trade() -> None:
    item = {
        "id": 12345,
        "price": "97000.10",
        "qty": "0.00120",
        "time": 1_700_000_000_000,
        "isBuyerMaker": True,
    }
    assert from_frame(frame()) == from_history("BTCUSDT", item) == TRADE


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff\x00",
        b"{",
        b"[]",
        b"null",
        b'{"result":null,"id":1}',
        b'{"data":7}',
        frame(e="aggTrade"),
        frame(t="12345"),
        frame(t=-1),
        frame(t=1.5),
        frame(t=True),
        frame(t=2**64 - 1),
        frame(T=0),
        frame(T=2**62),
        frame(m=1),
        frame(p=97000.1),
        frame(q=None),
        frame(s=7),
        frame()[:-20],
    ],
)
def test_what_is_no_trade_is_refused_with_a_reason(message: bytes) -> None:
    with pytest.raises(MalformedTradeError, match=r"."):
        from_frame(message)


@pytest.mark.parametrize("item", [None, 7, "x", [], {}, {"id": 1}])
def test_what_is_no_trade_in_the_history_is_refused_with_a_reason(item: object) -> None:
    with pytest.raises(MalformedTradeError, match=r"."):
        from_history("BTCUSDT", item)


@given(st.binary(max_size=80) | st.text(max_size=80))
def test_no_message_at_all_crashes_the_reader(message: bytes | str) -> None:
    with pytest.raises(MalformedTradeError):
        from_frame(message)


def test_a_record_is_k2s_trade_v2() -> None:
    value, rounded = Codec(258, ("BTCUSDT",)).encode(TRADE)
    assert value[:5] == b"\x00\x00\x00\x01\x02"
    assert not rounded
    record = decoded(value)
    assert record.pop("timestamp").timestamp() == 1_700_000_000
    assert record.pop("ingestion_timestamp").timestamp() > 1_700_000_000
    assert record == {
        "message_id": message_id("BTCUSDT", 12345),
        "trade_id": "BINANCE-12345",
        "symbol": "BTCUSDT",
        "exchange": "BINANCE",
        "asset_class": "crypto",
        "price": Decimal("97000.10000000"),
        "quantity": Decimal("0.00120000"),
        "currency": "USDT",
        "side": "SELL",
        "trade_conditions": [],
        "source_sequence": 12345,
        "platform_sequence": None,
        "vendor_data": None,
    }


def test_the_taker_bought_when_the_buyer_is_not_the_maker() -> None:
    value, _ = Codec(1, ("BTCUSDT",)).encode(TRADE._replace(buyer_is_maker=False))
    assert decoded(value)["side"] == "BUY"


def test_a_message_id_is_the_same_whoever_computes_it() -> None:
    expected = uuid.uuid5(uuid.NAMESPACE_URL, "BINANCE:BTCUSDT:12345")
    assert message_id("BTCUSDT", 12345) == str(expected)


@given(st.decimals("0.00000001", "9999999999.99999999", places=8))
def test_eight_decimals_are_exact(number: Decimal) -> None:
    value, rounded = Codec(1, ("BTCUSDT",)).encode(TRADE._replace(price=f"{number:f}"))
    assert (decoded(value)["price"], rounded) == (number, False)


@pytest.mark.parametrize(
    "text, units, rounded",
    [
        ("1", 100_000_000, False),
        ("1.500000000", 150_000_000, False),
        ("1.123456785", 112_345_678, True),
        ("1.123456775", 112_345_678, True),
        ("1.1234567851", 112_345_679, True),
    ],
)
def test_more_than_eight_decimals_are_rounded_half_to_even(
    text: str, units: int, *, rounded: bool
) -> None:
    assert scaled(text) == (units, rounded)


def test_a_rounded_record_keeps_what_the_exchange_said() -> None:
    value, rounded = Codec(1, ("BTCUSDT",)).encode(TRADE._replace(price="1.123456789"))
    assert rounded
    assert decoded(value)["vendor_data"] == {"raw_price": "1.123456789", "raw_quantity": "0.00120"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-1",
        "+1",
        "0",
        "0.000000001",
        "1e5",
        "NaN",
        "1.",
        ".5",
        "10000000000",
        "1,5",
        "\u0661",
    ],
)
def test_what_no_decimal_18_8_can_hold_is_unusable(text: str) -> None:
    with pytest.raises(UnusableTradeError):
        scaled(text)


def test_ids_are_found_again_in_records_and_in_nothing_else() -> None:
    codec = Codec(1, ("BTCUSDT",))
    value, _ = codec.encode(TRADE)
    assert codec.trade_id(value) == 12345
    for rubbish in (None, b"", b"\x00", value[:9], b"\x01" + value[1:], b"poison"):
        assert codec.trade_id(rubbish) is None


def test_records_of_other_schemas_are_read_with_their_own() -> None:
    old = {**TRADE_V2, "fields": [each for each in TRADE_V2["fields"] if "vendor" not in str(each)]}
    codec, value = Codec(1, ("BTCUSDT",)), Codec(9, ("BTCUSDT",)).encode(TRADE)[0]
    with pytest.raises(UnknownWriterSchemaError) as caught:
        codec.trade_id(value)
    assert caught.value.schema_id == 9
    codec.teach(9, orjson.dumps(TRADE_V2).decode())
    assert codec.trade_id(value) == 12345
    for text in (None, "not json", '{"type":"nonsense"}', orjson.dumps(old).decode()):
        codec.teach(9, text)
        assert codec.trade_id(value) is None


@pytest.mark.parametrize(
    "key, expected",
    [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        (b"abc", 479_470_107),
    ],
)
def test_keys_are_placed_as_kafka_places_them(key: bytes, expected: int) -> None:
    """The values are those of Apache Kafka's own test of murmur2."""
    assert murmur2(key) == expected % 2**32
    assert partition_of(key, 40) == (expected % 2**31) % 40


def test_the_currency_is_the_quote_of_the_pair() -> None:
    assert [currency_of(each) for each in ("BTCUSDT", "ETHBTC")] == ["USDT", "BTC"]
    with pytest.raises(BadSettingError):
        currency_of("FOOBAR")


@pytest.mark.parametrize(
    "name, value",
    [
        ("EXCHANGE_WS", "http://exchange"),
        ("EXCHANGE_REST", "exchange:9443"),
        ("SCHEMA_REGISTRY_URLS", "http://a,,http://b"),
        ("SYMBOLS", "BTCUSDT,FOOBAR"),
        ("SYMBOLS", ""),
        ("PORT", "80800"),
    ],
)
def test_a_bad_setting_is_refused_at_start(name: str, value: str) -> None:
    with pytest.raises(BadSettingError):
        Settings.from_environment({name: value})
