"""
The digest of a record's content, the same at every stage that shows the same content.

Stages spell one number differently (text, exact decimal, floating point), so numbers are compared
as doubles: a decimal is rounded to the nearest one, as every JSON writer and reader does. Two
decimals that share a double are not told apart; with eight places that begins above 9e7.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Words = npt.NDArray[np.uint64]

# The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
# generators", 2014): each bit of the input changes each bit of the output with a chance of a half.
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_LONGEST_EXACT: Final = 1 << 53
"""Up to here a double holds every integer."""


def digests(times: pa.ChunkedArray, content: Sequence[Any]) -> pa.Array:
    """
    One digest a row, never 0; null where some of its content is.

    Args:
        times: Event times (``timestamp[us]``).
        content: Columns (arrays or sequences of Python values): text, numbers, decimals; as many
            rows as *times*. None at all: every digest is null.
    """
    if not content:
        return pa.nulls(len(times), pa.int64())
    columns = [_one(column) for column in content]
    # Sums wrap around, as they are meant to.
    with np.errstate(over="ignore"):
        state = _mixed(times.cast(pa.int64()).to_numpy().astype(np.uint64))
        for column in columns:
            state = _mixed(state * _GOLDEN + _words(column))
    state[state == 0] = 1
    unknown = np.zeros(len(times), dtype=bool)
    for column in columns:
        unknown |= column.is_null().to_numpy(zero_copy_only=False)
    return pa.array(state.view(np.int64), mask=unknown)


def _one(column: Any) -> pa.Array:
    array = column if isinstance(column, pa.Array | pa.ChunkedArray) else pa.array(column)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _mixed(words: Words) -> Words:
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))


def _words(column: pa.Array) -> Words:
    """The 64 bits that stand for each value; anything where it is null."""
    if pa.types.is_decimal(column.type):
        return _bits(_decimals(column))
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return _bits(pc.fill_null(column.cast(pa.float64(), safe=False), 0.0).to_numpy())
    if pa.types.is_null(column.type):
        return np.zeros(len(column), dtype=np.uint64)
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    texts = encoded.dictionary.cast(pa.string()).to_pylist()
    known = np.array([_of_text(text) for text in (*texts, "")], dtype=np.uint64)
    found: Words = known[pc.fill_null(encoded.indices, len(texts)).to_numpy()]
    return found


def _bits(doubles: npt.NDArray[np.float64]) -> Words:
    # Adding zero makes one of both zeros.
    bits: Words = (doubles + 0.0).view(np.uint64)
    return bits


def _of_text(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _decimals(column: pa.Array) -> npt.NDArray[np.float64]:
    """
    The nearest double of each decimal.

    Arrow's own cast multiplies by a power of ten that is no double, and can be off by one bit.
    """
    scale = 10**column.type.scale
    whole = pc.fill_null(column, 0).cast(pa.decimal128(38, column.type.scale))
    low, high = np.frombuffer(whole.buffers()[1], dtype=np.int64).reshape(-1, 2).T
    low, high = (half[whole.offset : whole.offset + len(whole)] for half in (low, high))
    is_exact = (high == low >> 63) & (np.abs(low) <= _LONGEST_EXACT)
    doubles = low / float(scale)
    for row in np.flatnonzero(~is_exact):
        units = (int(high[row]) << 64) | (int(low[row]) & 0xFFFFFFFFFFFFFFFF)
        doubles[row] = units / scale
    found: npt.NDArray[np.float64] = doubles
    return found
