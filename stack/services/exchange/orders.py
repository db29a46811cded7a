"""Orders to misbehave, as the operator writes them, and everything that is wrong with one.

    stall               connections stay, frames are not sent, and are lost to the stream
    refuse              open connections are closed, new ones are refused
    disconnect          open connections are closed, once
    disconnect_storm    the same every `every_seconds`
    malformed           `percent` of the frames are no trades
    duplicate           `percent` of the frames are sent twice
    reorder             `percent` of the frames come after the next one of their symbol
    delay               every frame comes `milliseconds` late, in order
    burst               the market trades `factor` times its rate; one at a time

An order always has an end, `until_ms`: whoever gave it may die.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import orjson

# An operator who is gone for longer does not come back.
LONGEST_SECONDS = 3600


class _Amount(NamedTuple):
    name: str
    least: float
    most: float


_PERCENT = _Amount("percent", 0.01, 100)
KINDS: Mapping[str, _Amount | None] = {
    "stall": None,
    "refuse": None,
    "disconnect": None,
    "disconnect_storm": _Amount("every_seconds", 0.1, 60),
    "malformed": _PERCENT,
    "duplicate": _PERCENT,
    "reorder": _PERCENT,
    "delay": _Amount("milliseconds", 1, 4000),
    "burst": _Amount("factor", 1.1, 100),
}


class BadOrderError(ValueError):
    """An order that cannot be followed, with the reason in one line."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done, how much of it (0 where the kind has no more or less), and until when."""

    kind: str
    amount: float
    until_ms: int

    def to_json(self) -> dict[str, object]:
        """Return it as it was written."""
        amount = KINDS[self.kind]
        how_much = {amount.name: self.amount} if amount else {}
        return {"kind": self.kind, **how_much, "until_ms": self.until_ms}


def read_order(body: bytes, now_ms: int) -> Order:
    """Read an order, or raise `BadOrderError`."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = f"not JSON: {error}"
        raise BadOrderError(message) from None
    if not isinstance(document, dict):
        message = "expected an object with kind, until_ms and what the kind needs"
        raise BadOrderError(message)
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        message = f"kind must be one of {', '.join(KINDS)}"
        raise BadOrderError(message)
    amount = KINDS[kind]
    known = {"kind", "until_ms", *([amount.name] if amount else [])}
    if strange := document.keys() - known:
        message = f"{kind} knows no {', '.join(sorted(strange))}; it knows {', '.join(known)}"
        raise BadOrderError(message)
    value = _number(document, amount) if amount else 0.0
    return Order(kind, value, _until(document.get("until_ms"), now_ms))


def _number(document: Mapping[str, object], amount: _Amount) -> float:
    value = document.get(amount.name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = None
    if value is not None and amount.least <= value <= amount.most:  # NaN is within nothing.
        return float(value)
    message = f"{amount.name} must be a number within {amount.least:g}..{amount.most:g}"
    raise BadOrderError(message)


def _until(value: object, now_ms: int) -> int:
    latest = now_ms + LONGEST_SECONDS * 1000
    if type(value) is not int or not now_ms < value <= latest:
        message = (
            f"until_ms must be a whole number of ms since 1970, later than now ({now_ms}) "
            f"and at most {LONGEST_SECONDS} s away"
        )
        raise BadOrderError(message)
    return value
