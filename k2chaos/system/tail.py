"""
The newest record of each key of a partitioned log, without reading the log.

Keeps a running maximum: the first look reads the partitions' tails, each later one what came since.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final

import pyarrow as pa

from k2chaos.evidence.freshness import Sighting, advance, newest_of

Span = tuple[int, int]
"""First offset and the one after the last."""

_FIRST: Final = 64
"""How far a look reads back in each partition; four times as far each further time."""
_DEEPEST: Final = 100_000
"""How many records one look reads at most in search of a key; the next look goes on below."""


class Tail:
    """
    What is newest in one log.

    Args:
        read: Reads the records of spans of offsets, given by partition.
    """

    def __init__(self, read: Callable[[Mapping[int, Span]], pa.Table]) -> None:
        """Nothing was seen yet."""
        self._read = read
        self._newest: dict[str, Sighting] = {}
        # By partition: up to where it was read, and down to where the first look went.
        self._seen: dict[int, int] = {}
        self._below: dict[int, int] = {}

    def look(
        self, firsts: Mapping[int, int], ends: Mapping[int, int], keys: Collection[str]
    ) -> dict[str, Sighting]:
        """
        The newest record of each key.

        Args:
            firsts: The first offset of each partition.
            ends: The offset behind the last record of each partition.
            keys: Keys that ought to be there: those never seen are searched further back.
        """
        if any(ends.get(number, 0) < seen for number, seen in self._seen.items()):
            self._forget()
        floors = {one: max(first, self._seen.get(one, 0)) for one, first in firsts.items()}
        below = self._search_back(floors, ends, set(keys) | self._newest.keys())
        if not self._seen:
            self._below = below
        elif missing := set(keys) - self._newest.keys():
            self._below = self._search_back(firsts, self._below, missing)
        self._seen = dict(ends)
        return dict(self._newest)

    def _forget(self) -> None:
        """The log was made anew: nothing of what was seen is there."""
        self._newest, self._seen, self._below = {}, {}, {}

    def _search_back(
        self, floors: Mapping[int, int], tops: Mapping[int, int], wanted: set[str]
    ) -> dict[int, int]:
        """
        Read from *tops* down until all *wanted* keys were seen, or *floors*, or deep enough.

        Returns:
            By partition, the offset down to which it read.
        """
        found: dict[str, Sighting] = {}
        bottoms, window, depth = dict(tops), _FIRST, 0
        while depth < _DEEPEST:
            spans = {
                number: (max(floors.get(number, 0), top - window), top)
                for number, top in bottoms.items()
                if top > floors.get(number, 0)
            }
            if not spans:
                break
            advance(found, newest_of(self._read(spans)))
            bottoms.update({number: start for number, (start, _) in spans.items()})
            if wanted <= found.keys():
                break
            depth += sum(end - start for start, end in spans.values())
            window *= 4
        advance(self._newest, found)
        return bottoms
