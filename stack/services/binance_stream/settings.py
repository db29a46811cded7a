"""What the source reads from its environment, checked once at start."""

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from binance_stream.tls import client_context

DEFAULT_SYMBOLS = (
    "BTCUSDT,ETHUSDT,BNBUSDT,SOLUSDT,XRPUSDT,ADAUSDT,DOGEUSDT,AVAXUSDT,DOTUSDT,LINKUSDT,"
    "LTCUSDT,TRXUSDT"
)
DEFAULT_REGISTRIES = (
    "http://schema-registry-1:8080/apis/ccompat/v7,http://schema-registry-2:8080/apis/ccompat/v7"
)
_QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "EUR", "TRY", "BTC", "ETH", "BNB")
_SYMBOL = re.compile(r"[A-Z0-9]{5,20}")


class BadSettingError(ValueError):
    """An environment variable holds a value the source cannot work with."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The source's settings."""

    stream_url: str
    rest_url: str
    symbols: tuple[str, ...]
    bootstrap: str
    topic: str
    registries: tuple[str, ...]
    port: int
    tls: ssl.SSLContext
    state: Path

    @property
    def subject(self) -> str:
        """The registry's name for the schema of the topic's values."""
        return f"{self.topic}-value"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read every setting, or raise `BadSettingError` naming the variable at fault."""
        get = environment.get
        return cls(
            stream_url=_url("EXCHANGE_WS", get("EXCHANGE_WS", "wss://exchange:9443/stream"), "ws"),
            rest_url=_url("EXCHANGE_REST", get("EXCHANGE_REST", "https://exchange:9443"), "http"),
            symbols=_symbols(get("SYMBOLS", DEFAULT_SYMBOLS)),
            bootstrap=get("KAFKA_BOOTSTRAP", "kafka:29092"),
            topic=get("TOPIC", "market.crypto.trades.binance"),
            registries=tuple(
                _url("SCHEMA_REGISTRY_URLS", url, "http")
                for url in get("SCHEMA_REGISTRY_URLS", DEFAULT_REGISTRIES).split(",")
            ),
            port=_port(get("PORT", "8080")),
            tls=_tls(get("EXCHANGE_CA", "")),
            state=Path(get("SOURCE_STATE", "/var/lib/binance-stream")),
        )


def currency_of(symbol: str) -> str:
    """Return the quote currency of *symbol*: USDT of BTCUSDT.

    Raises:
        BadSettingError: It ends with no currency known here.
    """
    for quote in _QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            return quote
    message = f"{symbol} ends with no known quote currency ({', '.join(_QUOTES)})"
    raise BadSettingError(message)


def _url(name: str, text: str, scheme: str) -> str:
    url = text.strip().rstrip("/")
    if not url.startswith((f"{scheme}://", f"{scheme}s://")):
        message = f"{name}: {text!r} does not begin with {scheme}:// or {scheme}s://"
        raise BadSettingError(message)
    return url


def _symbols(text: str) -> tuple[str, ...]:
    symbols = tuple(part.strip() for part in text.split(",") if part.strip())
    wrong = [symbol for symbol in symbols if not _SYMBOL.fullmatch(symbol)]
    if wrong or not symbols or len(set(symbols)) != len(symbols):
        message = f"SYMBOLS={text!r}: expected distinct upper-case symbols, as in BTCUSDT"
        raise BadSettingError(message)
    for symbol in symbols:
        currency_of(symbol)
    return symbols


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:  # noqa: PLR2004 - what a port is
        message = f"PORT={text!r} is not a port"
        raise BadSettingError(message)
    return int(text)


def _tls(authority: str) -> ssl.SSLContext:
    try:
        return client_context(authority)
    except ValueError as error:
        message = f"EXCHANGE_CA: expected the base64 of a PEM: {error}"
        raise BadSettingError(message) from error
