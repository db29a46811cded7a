"""
How fast the whole of the lab's topic is read, and in how much memory.

Run on a running lab: ``python benchmarks/topic.py``. Prints records, seconds, records a second, and
by how much the process grew at most, by record.
"""

import resource
import time
from pathlib import Path

from k2chaos.clock import SystemClock
from k2chaos.pipeline_file import load_pipeline
from k2chaos.system.stages import open_stages

KIB = 1024


def peak() -> int:
    """The highest memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def main() -> None:
    """Read it once small, for what the libraries take, then whole."""
    stages = open_stages(load_pipeline(Path("pipelines/lab.yaml")).pipeline, SystemClock())
    topic = stages.topic
    assert topic is not None
    topic.read(topic.end_offsets())
    grown, began = peak(), time.perf_counter()
    records = len(topic.read({}).records)
    seconds, grown = time.perf_counter() - began, peak() - grown
    stages.close()
    print(f"{records:,} records in {seconds:.1f} s: {records / seconds:,.0f} a second")
    print(f"{grown / 1e6:.0f} MB more, {grown / records:.0f} bytes a record")


if __name__ == "__main__":
    main()
