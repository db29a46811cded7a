"""The write-ahead log of everything emitted, and the index over it.

Rules:
- A trade is on the tape before anybody sees it. write(2) suffices: the page cache survives
  the death of the process, which is what containers suffer; a segment is synced when closed.
- Ids go on from the tape's last, whoever died. Nothing is appended to an older segment, so
  a torn tail is merely where that segment ends.
- A write that fails or is cut short (disk full) is undone and raises; the ids were not used.
- A tape that can be read but not written opens all the same, and begins its segment when it can.
- Rows older than the retention go with their segment file, one segment at a time.
"""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exchange import segment
from exchange.history import History, Mark
from exchange.segment import Header, Row

log = logging.getLogger(__name__)

_SEGMENTS_PER_RETENTION = 30


class SeedChangedError(ValueError):
    """The tape was recorded under another seed: what it says was emitted would change."""


@dataclass(frozen=True, slots=True)
class _Closed:
    path: Path
    end: Mapping[str, Mark]
    newest_ms: int


class Tape:
    """Append rows, look trades up by id or time, forget what is older than the retention."""

    def __init__(
        self, directory: Path, seed: int, symbols: Iterable[str], retention_s: int
    ) -> None:
        """Open the tape in *directory*, reading back what earlier lives recorded.

        Raises:
            SeedChangedError: It was recorded under another seed.
            OSError: The directory cannot be made or read.
        """
        self._directory = directory
        self._seed = seed
        self._retention_ms = retention_s * 1000
        self._segment_ms = max(1000, self._retention_ms // _SEGMENTS_PER_RETENTION)
        self._closed: list[_Closed] = []
        self._history: dict[str, History] = {}
        self._number = 0
        self._descriptor: int | None = None
        self._rows_since_ms = 0
        directory.mkdir(parents=True, exist_ok=True)
        self._read_back()
        for symbol in symbols:
            self._history.setdefault(symbol, History(Mark()))
        try:
            self._begin_segment()
        except OSError as error:
            log.error("the tape was read but cannot be written: %s", error)

    @property
    def newest_ms(self) -> int:
        """The newest event time on the tape, 0 when it is empty."""
        return max((each.last_ms or 0 for each in self._history.values()), default=0)

    def history(self, symbol: str) -> History:
        """Return the index of *symbol*; `KeyError` if it was never listed here."""
        return self._history[symbol]

    def histories(self) -> Iterable[tuple[str, History]]:
        """Return every symbol this tape has heard of, with its index."""
        return self._history.items()

    def append(self, rows: Sequence[Row]) -> None:
        """Record *rows*, then make them visible.

        Raises:
            OSError: Nothing was recorded and nothing is visible.
        """
        descriptor = self._open_segment()
        data = segment.encode_rows(rows, self._index)
        try:
            written = os.write(descriptor, data)
        except OSError:
            os.ftruncate(descriptor, self._size)
            raise
        if written != len(data):
            os.ftruncate(descriptor, self._size)
            message = f"only {written} of {len(data)} bytes fitted on the tape: is the disk full?"
            raise OSError(message)
        self._size += written
        for row in rows:
            self._history[row.symbol].append(row.trades, row.at_ms)
        if rows:
            self._rows_since_ms = self._rows_since_ms or rows[0].at_ms
            self._segment_newest_ms = rows[-1].at_ms

    def turn(self, now_ms: int) -> None:
        """Close a segment that is long enough, then drop those beyond the retention.

        Raises:
            OSError: No new segment could be begun (the present one goes on), or an old one not
                be deleted (its trades can still be asked for).
        """
        # Before anything is dropped: the header of the open segment has the last ids.
        self._open_segment()
        if self._rows_since_ms and now_ms - self._rows_since_ms >= self._segment_ms:
            self._turn_segment()
        while self._closed and self._closed[0].newest_ms < now_ms - self._retention_ms:
            self._drop(self._closed[0])
            del self._closed[0]

    def close(self) -> None:
        """Sync and close the open segment."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)
            os.close(self._descriptor)

    def _open_segment(self) -> int:
        return self._begin_segment() if self._descriptor is None else self._descriptor

    def _turn_segment(self) -> None:
        finished, newest_ms = self._open_segment(), self._segment_newest_ms
        path, end = self._path, self._marks()
        self._begin_segment()
        self._closed.append(_Closed(path, end, newest_ms))
        try:
            os.fsync(finished)
        finally:
            os.close(finished)

    def _marks(self) -> dict[str, Mark]:
        return {symbol: history.newest for symbol, history in self._history.items()}

    def _begin_segment(self) -> int:
        symbols = tuple(self._history)
        for aside in self._directory.glob("*.new"):
            aside.unlink()
        path = self._directory / f"{self._number + 1:09d}{segment.SUFFIX}"
        self._descriptor = segment.create(path, Header(self._seed, symbols, self._marks()))
        self._number += 1
        self._path = path
        self._index = {symbol: position for position, symbol in enumerate(symbols)}
        self._size = os.fstat(self._descriptor).st_size
        self._rows_since_ms = 0
        self._segment_newest_ms = 0
        return self._descriptor

    def _drop(self, closed: _Closed) -> None:
        closed.path.unlink(missing_ok=True)
        for symbol, mark in closed.end.items():
            self._history[symbol].forget_through(mark)

    def _read_back(self) -> None:
        for path in sorted(self._directory.glob(f"*{segment.SUFFIX}")):
            self._number = int(path.stem)
            try:
                header, rows, torn = segment.read(path)
            except segment.DamagedSegmentError as error:
                log.error("%s: its trades can no longer be asked for", error)
                continue
            if header.seed != self._seed:
                message = (
                    f"{self._directory} was recorded with seed {header.seed}, not {self._seed}: "
                    "set EXCHANGE_SEED back, or empty the directory (and the topic)"
                )
                raise SeedChangedError(message)
            if torn:
                log.warning("%s: %d bytes of a torn row at its end are ignored", path.name, torn)
            self._replay(path, header, rows)

    def _replay(self, path: Path, header: Header, rows: Sequence[Row]) -> None:
        for symbol, mark in header.marks.items():
            self._continue_from(symbol, mark)
        for row in rows:
            history = self._history.setdefault(row.symbol, History(Mark()))
            if row.first_id != history.last_id + 1:
                log.error("%s: a hole before %s %d", path.name, row.symbol, row.first_id)
                history = self._history[row.symbol] = History(Mark(row.first_id - 1, row.at_ms))
            history.append(row.trades, row.at_ms)
        newest_ms = max((row.at_ms for row in rows), default=0)
        self._closed.append(_Closed(path, self._marks(), newest_ms))

    def _continue_from(self, symbol: str, mark: Mark) -> None:
        history = self._history.get(symbol)
        if history is None:
            self._history[symbol] = History(mark)
        elif history.last_id != mark.last_id:
            log.error("%s: trades up to %d are not on the tape", symbol, mark.last_id)
            self._history[symbol] = History(mark)
