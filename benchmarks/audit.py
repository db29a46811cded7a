"""
How many records a second the audit judges, and in how much memory.

Run: ``python benchmarks/audit.py [records]``: one stage of so many records (5 million) over twelve
keys, once clean and once with losses and copies; then three stages. ``python benchmarks/audit.py
stream [records]``: four stages of so many (100 million), made part by part as they would be read
from disk; prints time, rate and the highest memory of the process.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from k2chaos.evidence.records import RECORDS, Window
from k2chaos.judge.audit import audit, count_duplicated, count_lost
from k2chaos.judge.tally import ROWS

KEYS = [f"KEY{number}USDT" for number in range(12)]
BEFORE = 1_000_000


def part(first: int, count: int) -> pa.Table:
    """The records *first* to *first* + *count* of a history in which the keys take turns."""
    places = np.arange(first, first + count, dtype=np.int64)
    codes = (places % len(KEYS)).astype(np.int32)
    sequences = BEFORE + 1 + places // len(KEYS)
    times = pa.array(1_700_000_000_000_000 + places).cast(RECORDS.field("event_time").type)
    keys = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(KEYS)).cast(pa.string())
    columns = [keys, pa.array(sequences), times, pa.array(sequences * 7919 + codes)]
    return pa.Table.from_arrays(columns, schema=RECORDS)


def window_of(records: int) -> Window:
    last = BEFORE + records // len(KEYS)
    return Window(dict.fromkeys(KEYS, BEFORE), dict.fromkeys(KEYS, last))


def parts(records: int) -> Iterator[pa.Table]:
    for first in range(0, records, ROWS):
        yield part(first, min(ROWS, records - first))


def spoil(table: pa.Table) -> pa.Table:
    rows = np.arange(len(table))
    kept = np.delete(rows, rows[500::1000])
    return table.take(pa.array(np.insert(kept, len(kept) // 2, rows[:1000])))


def measure(name: str, records: int, work: Callable[[], object], times: int = 3) -> None:
    best = min(_timed(work) for _ in range(times))
    print(f"{name:34} {best * 1000:8.0f} ms {records / best / 1e6:7.1f} M records/s")


def _timed(work: Callable[[], object]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def whole(records: int) -> None:
    window, table = window_of(records), part(0, records)
    broken = spoil(table)
    measure("count_lost, clean", records, lambda: count_lost(window, table))
    measure("count_duplicated, spoilt", records, lambda: count_duplicated(window, broken))
    measure("audit of the topic, clean", records, lambda: audit(window, {"topic": table}))
    measure("audit of the topic, spoilt", records, lambda: audit(window, {"topic": broken}))
    measure("audit of the table, clean", records, lambda: audit(window, {"table": table}))
    stages = {"topic": table, "table": broken, "api": broken}
    measure("audit of three stages, spoilt", 3 * records, lambda: audit(window, stages))


def stream(records: int) -> None:
    window = window_of(records)
    made = _timed(lambda: sum(len(one) for one in parts(records)))
    print(f"making the parts of one stage takes {made:.1f} s, which is part of what follows")
    for name in (("topic",), ("exchange", "topic", "table", "api")):
        stages = {stage: parts(records) for stage in name}
        found: list[object] = []
        sightings = records * len(name)
        measure(
            f"audit of {len(name)} x {records:,}",
            sightings,
            lambda seen=stages, into=found: into.extend(audit(window, seen)),  # type: ignore[misc]
            times=1,
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(f"{len(found)} findings, highest memory {peak:.2f} GiB")


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["stream"]:
        stream(int(words[1]) if words[1:] else 99_999_996)
    else:
        records = int(words[0]) if words else 4_999_992
        whole(records - records % len(KEYS))


if __name__ == "__main__":
    main()
