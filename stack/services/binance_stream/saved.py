"""Last ids on disk: nothing but a bug on purpose believes them; the topic is the only truth."""

import logging
from collections.abc import Mapping
from pathlib import Path

import orjson

log = logging.getLogger(__name__)


class Saved:
    """The last id of each symbol as it was passed on, whether Kafka has it or not."""

    def __init__(self, path: Path) -> None:
        """Keep them in *path*, which may be missing."""
        self._path = path
        self._ids: dict[str, int] = orjson.loads(path.read_bytes()) if path.exists() else {}

    def note(self, symbol: str, trade_id: int) -> None:
        """Save *trade_id* as the last of *symbol*."""
        self._ids[symbol] = trade_id
        aside = self._path.with_suffix(".aside")
        aside.write_bytes(orjson.dumps(self._ids))
        aside.replace(self._path)

    def believed(self, last: Mapping[str, int]) -> dict[str, int]:
        """Put what was saved over *last*, the topic's own, where it is more."""
        beyond = {symbol: end for symbol, end in self._ids.items() if end > last.get(symbol, end)}
        log.info("believing the saved ids: %s", beyond)
        return {**last, **beyond}
