"""
The places of a window's records: one slot for each record that is expected, counted from 0.

Keys follow each other, and within a key the sequences do; so arrays indexed by slot say of every
expected record what was seen of it, without a dictionary of millions of ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2chaos.evidence.records import Window

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

OUTSIDE: Final = -1
"""Not of this window: before it, or emitted since."""
PHANTOM: Final = -2
"""Never emitted: a key that the window does not know, or a sequence below 1."""


@dataclass(frozen=True, slots=True)
class Slots:
    """
    How records of a window are laid out.

    Attributes:
        keys: In the order of their slots.
        after: By key, the sequence before its first slot.
        until: By key, the sequence of its last slot.
        base: By key, its first slot; one more entry ends the last.
    """

    keys: tuple[str, ...]
    after: Integers
    until: Integers
    base: Integers

    @classmethod
    def of(cls, window: Window) -> Self:
        """Lay out *window*."""
        keys = tuple(sorted(window.until))
        after = np.array([window.after.get(key, 0) for key in keys], dtype=np.int64)
        until = np.array([window.until[key] for key in keys], dtype=np.int64)
        sizes = np.maximum(until - after, 0)
        return cls(keys, after, until, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))

    @property
    def size(self) -> int:
        """How many records are expected."""
        return int(self.base[-1])

    def places(self, records: pa.Table) -> Integers:
        """The slot of every row of *records* (schema `RECORDS`), or `OUTSIDE`, or `PHANTOM`."""
        codes = self._codes(records["key"])
        sequences = records["sequence"].to_numpy()
        # The last entry of each is for the code -1, an unknown key: nothing is inside of it.
        after = np.append(self.after, 0)[codes]
        until = np.append(self.until, 0)[codes]
        shift = np.append(self.base[:-1] - self.after - 1, 0)[codes]
        inside = (sequences > after) & (sequences <= until) & (codes >= 0)
        places = np.where(inside, sequences + shift, OUTSIDE)
        places[(codes < 0) | (sequences < 1)] = PHANTOM
        return places

    def up_to(self, last: Mapping[str, int]) -> Booleans:
        """The slots of each key up to the sequence *last*; none of a key that it lacks."""
        found = np.zeros(self.size, dtype=bool)
        for code, key in enumerate(self.keys):
            count = max(0, last.get(key, 0) - int(self.after[code]))
            found[self.base[code] : min(self.base[code] + count, self.base[code + 1])] = True
        return found

    def slot(self, key: str, sequence: int) -> int | None:
        """The slot of one record; ``None`` where it is not of this window."""
        code = self.keys.index(key) if key in self.keys else len(self.keys)
        if code == len(self.keys) or not self.after[code] < sequence <= self.until[code]:
            return None
        return int(self.base[code] + sequence - self.after[code] - 1)

    def identity(self, slot: int) -> dict[str, Any]:
        """The key and sequence of *slot*."""
        code = int(np.searchsorted(self.base, slot, side="right")) - 1
        return {
            "key": self.keys[code],
            "sequence": int(slot - self.base[code] + self.after[code] + 1),
        }

    def _codes(self, keys: pa.ChunkedArray) -> Integers:
        """Each row's position in `keys`; -1 for an unknown one."""
        encoded = pa.chunked_array(keys).combine_chunks()
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode()
        position = {key: code for code, key in enumerate(self.keys)}
        table = [position.get(key, -1) for key in encoded.dictionary.to_pylist()]
        found: Integers = np.array([*table, -1], dtype=np.int64)[encoded.indices.to_numpy()]
        return found


def within(window: Window, records: pa.Table) -> pa.Table:
    """The rows of *records* that concern *window*: its own, and those never emitted at all."""
    return records.filter(pa.array(Slots.of(window).places(records) != OUTSIDE))
