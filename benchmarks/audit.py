"""
How many records a second the audit judges.

Run: ``python benchmarks/audit.py [records]``. One stage of so many records over twelve keys, once
clean and once with losses and copies; then three stages.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from k2chaos.evidence.records import RECORDS, Window
from k2chaos.judge.audit import audit, count_duplicated, count_lost

KEYS = [f"KEY{number}USDT" for number in range(12)]


def history(records: int) -> tuple[Window, pa.Table]:
    rng = np.random.default_rng(7)
    each = records // len(KEYS)
    codes = rng.permutation(np.repeat(np.arange(len(KEYS), dtype=np.int32), each))
    sequences = np.empty(len(codes), dtype=np.int64)
    for code in range(len(KEYS)):
        sequences[codes == code] = np.arange(1_000_001, 1_000_001 + each)
    times = 1_700_000_000_000_000 + np.arange(len(codes), dtype=np.int64)
    keys = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(KEYS)).cast(pa.string())
    moments = pa.array(times).cast(RECORDS.field("event_time").type)
    digests = pa.array(sequences * 7919 + codes)
    columns = [keys, pa.array(sequences), moments, digests]
    window = Window(dict.fromkeys(KEYS, 1_000_000), dict.fromkeys(KEYS, 1_000_000 + each))
    return window, pa.Table.from_arrays(columns, schema=RECORDS)


def spoil(table: pa.Table) -> pa.Table:
    rows = np.arange(len(table))
    kept = np.delete(rows, rows[500::1000])
    return table.take(pa.array(np.insert(kept, len(kept) // 2, rows[:1000])))


def measure(name: str, records: int, work: Callable[[], object]) -> None:
    best = min(_timed(work) for _ in range(3))
    print(f"{name:34} {best * 1000:8.0f} ms {records / best / 1e6:7.1f} M records/s")


def _timed(work: Callable[[], object]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def main() -> None:
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    window, table = history(records)
    broken = spoil(table)
    rows = len(table)
    measure("count_lost, clean", rows, lambda: count_lost(window, table))
    measure("count_duplicated, spoilt", rows, lambda: count_duplicated(window, broken))
    measure("audit of the topic, clean", rows, lambda: audit(window, {"topic": table}))
    measure("audit of the topic, spoilt", rows, lambda: audit(window, {"topic": broken}))
    measure("audit of the table, clean", rows, lambda: audit(window, {"table": table}))
    stages = {"topic": table, "table": broken, "api": broken}
    measure("audit of three stages, spoilt", 3 * rows, lambda: audit(window, stages))


if __name__ == "__main__":
    main()
