"""
Clean histories of a pipeline, with any mixture of anomalies on records of their own.

`Mixture.draw` makes one out of a seed; it knows what ought to be found, and shares no code with the
judge. Keys at odd places lie in partition 1, which the sink's group has passed; the others in
partition 0, of which it committed nothing.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from k2chaos.evidence.records import LETTERS, MALFORMED, RECORDS, Window
from tests.fakes.histories import Row, digest_of, time_of

STAGES: Final = ("topic", "table", "api")
PASSED: Final = 1 << 40
KINDS: Final = (
    *(("lost", stage) for stage in STAGES),
    *(("duplicated", stage) for stage in STAGES),
    *(("corrupted", stage) for stage in STAGES),
    *(("phantom", stage) for stage in STAGES),
    ("late", "table"),
    ("late", "api"),
    ("reordered", "topic"),
    ("quarantined", "table"),
    ("schema", "topic"),
    ("dropped", "table"),
)

Shown = tuple[Row, int]
"""A record and how far its digest is off."""


@dataclass
class Mixture:
    """
    One history.

    Attributes:
        expected: By anomaly and stage, how many must be found.
    """

    window: Window
    shown: dict[str, list[Shown]]
    at_deadline: dict[str, list[Shown]] = field(default_factory=dict)
    letters: list[Row] = field(default_factory=list)
    malformed: list[tuple[int, int, str | None]] = field(default_factory=list)
    expected: Counter[tuple[str, str]] = field(default_factory=Counter)

    @classmethod
    def draw(cls, seed: int, *, is_clean: bool = False) -> "Mixture":
        """The history of *seed*."""
        rng = random.Random(seed)
        keys = [f"KEY{number}" for number in range(rng.randint(1, 5))]
        after = {key: rng.randint(0, 1000) for key in keys if rng.random() < 0.8}
        until = {key: after.get(key, 0) + rng.randint(4, 60) for key in keys}
        rows = [(key, one) for key in keys for one in range(after.get(key, 0) + 1, until[key] + 1)]
        rng.shuffle(rows)
        rows.sort(key=lambda row: row[1])
        mixture = cls(Window(after, until), {one: [(row, 0) for row in rows] for one in STAGES})
        if not is_clean:
            mixture._spoil(rng, rows)
        # The table and the API have no order to break.
        for stage in STAGES[1:]:
            rng.shuffle(mixture.shown[stage])
        return mixture

    def deliver_again(self, seed: int) -> None:
        """As at-least-once pipelines do: parts of the topic come again, whole bursts of them."""
        rng = random.Random(seed)
        topic = self.shown["topic"]
        for _ in range(rng.randint(1, 4)):
            first = rng.randrange(len(topic))
            again = topic[first : first + rng.randint(1, len(topic))]
            place = rng.randint(first + len(again), len(topic))
            self.shown["topic"] = topic = [*topic[:place], *again, *topic[place:]]
        self.shown["table"] = [*topic]
        self.shown["api"] = [*topic]

    def _spoil(self, rng: random.Random, rows: list[Row]) -> None:
        free = set(rows)
        for kind, stage in rng.sample(KINDS, rng.randint(1, len(KINDS))):
            for _ in range(rng.randint(1, 3)):
                # Its successor stays as it is: a reordering needs one.
                pairs = sorted(one for one in free if (one[0], one[1] + 1) in free)
                if pairs:
                    row = rng.choice(pairs)
                    free -= {row, (row[0], row[1] + 1)}
                    getattr(self, f"_{kind}")(row, stage, rng)
        for stage, late in self.at_deadline.items():
            gone = {row for row, _ in late}
            self.at_deadline[stage] = [one for one in self.shown[stage] if one[0] not in gone]

    def _from(self, stage: str) -> tuple[str, ...]:
        return STAGES[STAGES.index(stage) :]

    def _lost(self, row: Row, stage: str, _: random.Random) -> None:
        for each in self._from(stage):
            self.shown[each] = [one for one in self.shown[each] if one[0] != row]
        self.expected["lost", stage] += 1
        if stage == "table" and partition_of(row):
            self.expected["diverged", stage] += 1

    def _duplicated(self, row: Row, stage: str, rng: random.Random) -> None:
        copies = rng.randint(1, 3)
        for each in self._from(stage):
            self.shown[each] += [(row, 0)] * copies
        self.expected["duplicated", stage] += copies

    def _corrupted(self, row: Row, stage: str, _: random.Random) -> None:
        for each in self._from(stage):
            self.shown[each] = [(one, 7 if one == row else off) for one, off in self.shown[each]]
        self.expected["corrupted", stage] += 1

    def _phantom(self, row: Row, stage: str, rng: random.Random) -> None:
        strange = rng.choice([("NOBODY", row[1]), (row[0], -row[1])])
        is_new = all(one != strange for shown in self.shown.values() for one, _ in shown)
        if is_new:
            for each in self._from(stage):
                self.shown[each].append((strange, 0))
            self.expected["phantom", stage] += 1

    def _late(self, row: Row, stage: str, _: random.Random) -> None:
        self.at_deadline.setdefault(stage, []).append((row, 0))
        self.expected["late", stage] += 1

    def _reordered(self, row: Row, stage: str, _: random.Random) -> None:
        rows = [one for one in self.shown[stage] if one[0] != row]
        rows.insert(rows.index(((row[0], row[1] + 1), 0)) + 1, (row, 0))
        self.shown[stage] = rows
        self.expected["reordered", stage] += 1

    def _quarantined(self, row: Row, stage: str, _: random.Random) -> None:
        for each in self._from(stage):
            self.shown[each] = [one for one in self.shown[each] if one[0] != row]
        self.letters.append(row)
        self.expected["quarantined", stage] += 1

    def _schema(self, _row: Row, stage: str, _: random.Random) -> None:
        self.malformed.append((0, len(self.malformed), None))
        self.expected["schema", stage] += 1

    def _dropped(self, _row: Row, stage: str, _: random.Random) -> None:
        self.malformed.append((1, len(self.malformed), "of-ours"))
        self.expected["lost", stage] += 1

    def tables(self) -> dict[str, pa.Table]:
        """What every stage shows; the topic with partitions and offsets."""
        tables = {stage: _table(shown) for stage, shown in self.shown.items()}
        rows = [row for row, _ in self.shown["topic"]]
        columns = {"partition": [partition_of(row) for row in rows], "offset": range(len(rows))}
        for name, column in columns.items():
            tables["topic"] = tables["topic"].append_column(name, pa.array(column, pa.int64()))
        emitted = [(key, one) for key, last in self.window.until.items() for one in range(1, last)]
        return {"exchange": _table([(row, 0) for row in emitted]), **tables}

    def deadline_tables(self) -> dict[str, pa.Table]:
        """What the stages showed at their deadline that were late."""
        return {stage: _table(shown) for stage, shown in self.at_deadline.items()}

    def letter_table(self) -> pa.Table:
        """The dead letters."""
        rows = [{"key": key, "sequence": number} for key, number in self.letters]
        return pa.Table.from_pylist(rows, schema=LETTERS)

    def malformed_table(self) -> pa.Table:
        """The values that are no record."""
        names = ("partition", "offset", "tag")
        rows = [{**dict(zip(names, one, strict=True)), "reason": "x"} for one in self.malformed]
        return pa.Table.from_pylist(rows, schema=MALFORMED)


def partition_of(row: Row) -> int:
    """Where the records of a key lie."""
    return int(row[0][-1]) % 2 if row[0][-1].isdigit() else 0


def _table(shown: list[Shown]) -> pa.Table:
    columns = {
        "key": [row[0] for row, _ in shown],
        "sequence": [row[1] for row, _ in shown],
        "event_time": [time_of(row[1]) for row, _ in shown],
        "digest": [digest_of(*row) + off for row, off in shown],
    }
    return pa.table(columns, schema=RECORDS)
