"""Which trade may be passed on now. Pure: no clock, no socket, no Kafka.

The promise is contiguous ids per symbol, each once, ascending. `Sequence` holds the last id
passed on and answers for each newcomer; whoever asks acts and reports back with `advance`.

    id vs. last        answer          then
    no last known      NEXT            nothing was promised before
    id == last + 1     NEXT            pass it on, advance
    id <= last         DUPLICATE       drop it
    id >  last + 1     GAP             fetch last + 1 .. id - 1 first

A page of history is judged by the same rule (`Sequence.judge`), but there a gap that is still
there on a second look is real: the exchange no longer has these trades, they are lost.
"""

from collections.abc import Callable, Mapping
from enum import Enum


class Judgement(Enum):
    """What to do with a trade."""

    NEXT = "next"
    DUPLICATE = "duplicate"
    GAP = "gap"
    UNKNOWN = "unknown"


class Sequence:
    """The last id passed on, per symbol."""

    __slots__ = ("_last", "_noted")

    def __init__(
        self,
        symbols: tuple[str, ...],
        last: Mapping[str, int],
        noted: Callable[[str, int], None] = lambda *_: None,
    ) -> None:
        """Go on after *last*; symbols missing there have no history yet. *noted* hears advances."""
        self._noted = noted
        self._last: dict[str, int | None] = {symbol: last.get(symbol) for symbol in symbols}

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that are passed on at all."""
        return tuple(self._last)

    def last(self, symbol: str) -> int | None:
        """Return the last id passed on, `None` before the first."""
        return self._last[symbol]

    def judge(self, symbol: str, trade_id: int) -> Judgement:
        """Say what to do with *trade_id* of *symbol*."""
        if symbol not in self._last:
            return Judgement.UNKNOWN
        last = self._last[symbol]
        if last is None or trade_id == last + 1:
            return Judgement.NEXT
        return Judgement.DUPLICATE if trade_id <= last else Judgement.GAP

    def advance(self, symbol: str, trade_id: int) -> None:
        """Take note that everything up to *trade_id* has been passed on or is lost.

        Raises:
            ValueError: The sequence would go back.
        """
        last = self._last[symbol]
        if last is not None and trade_id <= last:
            message = f"{symbol}: {trade_id} after {last}"
            raise ValueError(message)
        self._last[symbol] = trade_id
        self._noted(symbol, trade_id)
