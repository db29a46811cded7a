"""What the exchange reads from its environment, checked once at start."""

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exchange.tls import server_context

MAX_RATE = 5_000.0
DEFAULT_SYMBOLS = (
    "BTCUSDT,ETHUSDT,BNBUSDT,SOLUSDT,XRPUSDT,ADAUSDT,DOGEUSDT,AVAXUSDT,DOTUSDT,LINKUSDT,"
    "LTCUSDT,TRXUSDT"
)
_SYMBOL = re.compile(r"[A-Z0-9]{5,20}")


class BadSettingError(ValueError):
    """An environment variable holds a value the exchange cannot work with."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The exchange's settings; ports may be 0 to let the kernel choose.

    Without *tls* the feed port speaks plain HTTP; the control port always does.
    """

    seed: int
    rate: float
    symbols: tuple[str, ...]
    state: Path
    retention_seconds: int
    feed_port: int
    control_port: int
    tls: ssl.SSLContext | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read every setting, or raise `BadSettingError` naming the variable at fault."""
        return cls(
            seed=_number(environment, "EXCHANGE_SEED", 7, 0, 2**63 - 1),
            rate=_rate(environment),
            symbols=_symbols(environment.get("EXCHANGE_SYMBOLS", DEFAULT_SYMBOLS)),
            state=Path(environment.get("EXCHANGE_STATE", "/var/lib/exchange")),
            retention_seconds=_number(environment, "EXCHANGE_RETENTION_SECONDS", 1800, 1, 864_000),
            feed_port=_number(environment, "EXCHANGE_FEED_PORT", 9443, 0, 65_535),
            control_port=_number(environment, "EXCHANGE_CONTROL_PORT", 8900, 0, 65_535),
            tls=_tls(environment),
        )


def _number(
    environment: Mapping[str, str], name: str, default: int, lowest: int, highest: int
) -> int:
    text = environment.get(name, str(default))
    try:
        value = int(text)
    except ValueError:
        message = f"{name}={text!r} is not a whole number"
        raise BadSettingError(message) from None
    if not lowest <= value <= highest:
        message = f"{name}={value} is not within {lowest}..{highest}"
        raise BadSettingError(message)
    return value


def _rate(environment: Mapping[str, str]) -> float:
    text = environment.get("EXCHANGE_RATE", "100")
    try:
        value = float(text)
    except ValueError:
        message = f"EXCHANGE_RATE={text!r} is not a number"
        raise BadSettingError(message) from None
    if not 0 <= value <= MAX_RATE:
        message = f"EXCHANGE_RATE={text} is not within 0..{MAX_RATE:g} trades per second"
        raise BadSettingError(message)
    return value


def _symbols(text: str) -> tuple[str, ...]:
    symbols = tuple(part.strip() for part in text.split(",") if part.strip())
    wrong = [symbol for symbol in symbols if not _SYMBOL.fullmatch(symbol)]
    if wrong or not symbols or len(set(symbols)) != len(symbols):
        message = f"EXCHANGE_SYMBOLS={text!r}: expected distinct upper-case symbols, as in BTCUSDT"
        raise BadSettingError(message)
    return symbols


def _tls(environment: Mapping[str, str]) -> ssl.SSLContext | None:
    names = ("EXCHANGE_TLS_CERT", "EXCHANGE_TLS_KEY")
    certificate, key = (environment.get(name, "") for name in names)
    if not certificate and not key:
        return None
    if not certificate or not key:
        message = f"{' and '.join(names)}: give both, or neither for a feed without TLS"
        raise BadSettingError(message)
    try:
        return server_context(certificate, key)
    except ValueError as error:
        message = f"{' and '.join(names)}: {error}"
        raise BadSettingError(message) from error
