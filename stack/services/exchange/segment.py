r"""The tape's files: a header, then fixed-size rows, each under its own checksum.

    header   "K2TAPE1\n", u32 length, JSON {"seed", "symbols", "marks"}, u32 crc32 of the JSON
    row      u16 symbol (index into the header's list), 2 unused, u32 count, u64 first id,
             i64 event time in ms, u32 crc32 of the 24 bytes before it          (little endian)

`marks` is where each symbol stood when the segment began, so the oldest segments can go
without any symbol forgetting its last id. A header is complete or the file does not exist
(written aside, then renamed); a row that was cut short by a crash ends the segment.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from exchange.history import Mark

SUFFIX = ".tape"
_MAGIC = b"K2TAPE1\n"
_LENGTH = struct.Struct("<I")
_ROW = struct.Struct("<HxxIQq")
ROW_BYTES = _ROW.size + _LENGTH.size


class DamagedSegmentError(ValueError):
    """A segment's header cannot be read, so neither can its rows."""


class Row(NamedTuple):
    """So many *trades* of one symbol from *first_id* on, emitted together at *at_ms*."""

    symbol: str
    first_id: int
    trades: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says of itself before its first row."""

    seed: int
    symbols: tuple[str, ...]
    marks: Mapping[str, Mark]


def encode_rows(rows: Sequence[Row], index: Mapping[str, int]) -> bytes:
    """Encode *rows* for one write call."""
    parts: list[bytes] = []
    for row in rows:
        body = _ROW.pack(index[row.symbol], row.trades, row.first_id, row.at_ms)
        parts += (body, _LENGTH.pack(zlib.crc32(body)))
    return b"".join(parts)


def decode_rows(data: bytes, symbols: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of *data* up to the first that is torn or damaged."""
    for start in range(0, len(data) - ROW_BYTES + 1, ROW_BYTES):
        body = data[start : start + _ROW.size]
        (checksum,) = _LENGTH.unpack_from(data, start + _ROW.size)
        symbol, count, first_id, at_ms = _ROW.unpack(body)
        if checksum != zlib.crc32(body) or symbol >= len(symbols):
            return
        yield Row(symbols[symbol], first_id, count, at_ms)


def create(path: Path, header: Header) -> int:
    """Write a new segment with its header and return a descriptor to append rows to."""
    marks = {symbol: [mark.last_id, mark.last_ms] for symbol, mark in header.marks.items()}
    body = orjson.dumps({"seed": header.seed, "symbols": header.symbols, "marks": marks})
    aside = path.with_suffix(".new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    try:
        data = _MAGIC + _LENGTH.pack(len(body)) + body + _LENGTH.pack(zlib.crc32(body))
        _write_whole(descriptor, data)
        os.fsync(descriptor)
        aside.rename(path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _write_whole(descriptor: int, data: bytes) -> None:
    if os.write(descriptor, data) != len(data):
        message = "the header of a new segment was cut short: is the disk full?"
        raise OSError(message)


def read(path: Path) -> tuple[Header, list[Row], int]:
    """Read a segment: its header, its whole rows, and how many bytes at its end are torn.

    Raises:
        DamagedSegmentError: The header is not one.
    """
    data = path.read_bytes()
    try:
        body, tail = _split(data)
        header = _header(orjson.loads(body))
    except (ValueError, KeyError, TypeError, struct.error) as error:
        message = f"{path.name} has no readable header ({error})"
        raise DamagedSegmentError(message) from error
    rows = list(decode_rows(tail, header.symbols))
    return header, rows, len(tail) - len(rows) * ROW_BYTES


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Return the header's JSON and everything after the header."""
    (length,) = _LENGTH.unpack_from(data, len(_MAGIC))
    start = len(_MAGIC) + _LENGTH.size
    body = data[start : start + length]
    (checksum,) = _LENGTH.unpack_from(data, start + length)
    if not data.startswith(_MAGIC) or checksum != zlib.crc32(body):
        message = "wrong magic or checksum"
        raise ValueError(message)
    return body, data[start + length + _LENGTH.size :]


def _header(value: dict[str, object]) -> Header:
    marks = value["marks"]
    symbols = value["symbols"]
    seed = value["seed"]
    if not (isinstance(marks, dict) and isinstance(symbols, list) and isinstance(seed, int)):
        raise TypeError(value)
    return Header(seed, tuple(symbols), {symbol: Mark(*mark) for symbol, mark in marks.items()})
