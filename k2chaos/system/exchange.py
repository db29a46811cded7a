"""
The exchange's control API: what was emitted, by the exchange's own clock, and how fast; and the
orders to misbehave.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from k2chaos.errors import StageBlind, in_words
from k2chaos.evidence.freshness import Emitted
from k2chaos.evidence.identity import joined, records_of
from k2chaos.evidence.records import Window
from k2chaos.system.http import HttpClient

_PAGE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Ledger:
    """
    What the exchange says it emitted.

    Attributes:
        now: The exchange's clock when it answered.
        seed: What the records' content is derived from.
        keys: By key; one that never traded has ``last_id`` 0.
    """

    now: datetime
    seed: int
    keys: Mapping[str, Emitted]

    @property
    def last_ids(self) -> dict[str, int]:
        """The newest id per key; 0 where it never traded."""
        return {key: emitted.last_id for key, emitted in self.keys.items()}


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """
    The orders to misbehave that an exchange knows, and what it counted of their effects.

    Attributes:
        now: The exchange's clock when it answered.
        life: Tells one process of the exchange from the next.
        in_force: By tag: what each did so far, by the name of the count.
        ended: By tag: why it is no longer in force.
        counts: What all orders did since the exchange was started.
    """

    now: datetime
    life: int
    in_force: Mapping[str, Mapping[str, int]]
    ended: Mapping[str, str]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ExchangeClient:
    """Asks the exchange at *control_url*."""

    control_url: str
    seconds: float = 5.0
    _http: HttpClient = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Open no connection yet."""
        client = HttpClient("exchange", self.control_url, self.seconds)
        object.__setattr__(self, "_http", client)

    def ledger(self, at: datetime | None = None) -> Ledger:
        """What was emitted until now, or until the event time *at*."""
        params = {"at_ms": _ms(at)} if at else None
        answer = self._http.get_json("/ledger", params)
        try:
            return _ledger(answer)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = (
                f"exchange: GET {self.control_url}/ledger: not a ledger of schema 1 "
                f"({in_words(error)}); does exchange.control in the "
                "pipeline file name an exchange of this version?"
            )
            raise StageBlind(message, "undecodable") from error

    def last_ids(self) -> dict[str, int]:
        """The newest emitted id per key; 0 where it never traded."""
        return self.ledger().last_ids

    def read(self, window: Window, content: Sequence[str]) -> pa.Table:
        """
        The records of *window* that the exchange still remembers (schema `RECORDS`).

        Args:
            content: Names of the columns that the digest is made of.
        """
        spans = ((key, window.after.get(key, 0) + 1, last) for key, last in window.until.items())
        return joined(
            page
            for key, first, last in spans
            if first <= last
            for page in self._pages(key, (first, last), content)
        )

    def _pages(self, key: str, span: tuple[int, int], content: Sequence[str]) -> Iterator[pa.Table]:
        first, last = span
        while first <= last:
            limit = min(_PAGE, last - first + 1)
            asked: dict[str, str | int] = {"symbol": key, "from_id": first, "limit": limit}
            answer = self._http.get_json("/trades", asked)
            try:
                began, times = int(answer["first_id"]), answer["time_ms"]
                columns = [_plain(answer[name]) for name in content]
                numbers = range(began, began + len(times))
                micros = [int(time) * 1000 for time in times]
                yield records_of([key] * len(times), list(numbers), micros, "", columns)
            except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
                message = (
                    f"exchange: GET {self.control_url}/trades: not understood ({in_words(error)})"
                )
                raise StageBlind(message, "undecodable") from error
            if not times:
                return
            first = began + len(times)

    def rate(self) -> float:
        """Trades per second over all keys, as asked for."""
        return self._rate_of(self._http.get_json("/rate"))

    def set_rate(self, trades_per_second: float) -> float:
        """Ask for another rate; the one now in force."""
        return self._rate_of(self._http.put_json("/rate", {"trades_per_second": trades_per_second}))

    def misbehaviour(self) -> Misbehaviour:
        """The orders to misbehave, and what came of them."""
        answer = self._http.get_json("/faults")
        try:
            return _misbehaviour(answer)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"exchange: GET {self.control_url}/faults: not understood ({in_words(error)})"
            raise StageBlind(message, "undecodable") from error

    def place_order(self, tag: str, order: Mapping[str, Any], until: datetime) -> None:
        """Order it to misbehave until *until* by its clock; a tag that is over is refused."""
        self._http.put_json(f"/faults/{tag}", {**order, "until_ms": _ms(until)})

    def take_order_back(self, tag: str) -> None:
        """End that order, and accept none of that tag any more."""
        self._http.delete_json(f"/faults/{tag}")

    def health(self) -> Any:
        """The exchange's own word on its health, as JSON."""
        return self._http.get_json("/health")

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _rate_of(self, answer: Any) -> float:
        try:
            return float(answer["trades_per_second"])
        except (KeyError, TypeError, ValueError) as error:
            message = f"exchange: {self.control_url}/rate: no trades_per_second in {answer!r:.100}"
            raise StageBlind(message, "undecodable") from error


def _plain(column: Sequence[Any]) -> list[Any]:
    """Numbers as doubles where the exchange writes them as text."""
    try:
        return [float(value) for value in column]
    except ValueError:
        return list(column)


def _ledger(answer: Any) -> Ledger:
    if answer["schema"] != 1:
        message = f"schema {answer['schema']!r}"
        raise ValueError(message)
    keys = {key: _emitted(one) for key, one in answer["symbols"].items()}
    return Ledger(_time(answer["now_ms"]), int(answer["seed"]), keys)


def _misbehaviour(answer: Any) -> Misbehaviour:
    return Misbehaviour(
        now=_time(answer["now_ms"]),
        life=int(answer["born_ms"]),
        in_force={tag: dict(one["counts"]) for tag, one in answer["in_force"].items()},
        ended={tag: str(one["why"]) for tag, one in answer["ended"].items()},
        counts=dict(answer["counts"]),
    )


def _emitted(one: Mapping[str, Any]) -> Emitted:
    last, oldest = one["last_time_ms"], one.get("retained_from_time_ms")
    return Emitted(
        last_id=int(one["last_id"]),
        last_time=None if last is None else _time(last),
        oldest_time=None if oldest is None else _time(oldest),
    )


def _time(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
