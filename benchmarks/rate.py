"""
The lab under load: freshness, CPU and what was lost at a given rate.

``python benchmarks/rate.py [trades per second [seconds]]`` on a running lab sets the exchange's
rate, samples for so long, waits until all has arrived, and
puts the rate back. Every record is counted in the topic and in the table.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from k2chaos.clock import SystemClock
from k2chaos.judge.audit import audit, count_records
from k2chaos.pipeline import Pipeline
from k2chaos.pipeline_file import load_pipeline
from k2chaos.system.stages import open_stages
from k2chaos.system.windows import read_window, take_baseline

TICK_SECONDS = 0.25
DRAIN_SECONDS = 120.0
STAGES = ("topic", "table", "api")
# The API holds no more than its pages give in reasonable time at such rates; the table has all.
READ = ("topic", "table")


@contextmanager
def rate(pipeline: Pipeline, trades_per_second: float) -> Iterator[None]:
    """Trade at another rate while the block runs."""
    assert pipeline.exchange is not None
    url = f"{pipeline.exchange.control}/rate"
    before = httpx.get(url).raise_for_status().json()
    httpx.put(url, json={"trades_per_second": trades_per_second}).raise_for_status()
    try:
        yield
    finally:
        httpx.put(url, json=before).raise_for_status()


def main(trades_per_second: float, seconds: float) -> None:
    """Measure, and print two tables."""
    pipeline = load_pipeline(Path("pipelines/lab.yaml")).pipeline
    stages = open_stages(pipeline)
    clock = SystemClock()
    seen: dict[str, list[float]] = {stage: [] for stage in STAGES}
    with rate(pipeline, trades_per_second):
        baseline = take_baseline(stages, clock)
        before = _cpu_seconds(pipeline)
        began = clock.monotonic()
        while clock.monotonic() < began + seconds:
            for stage, values in seen.items():
                values.append(stages.freshness_seconds(stage))
            clock.wait(TICK_SECONDS)
        after = _cpu_seconds(pipeline)
        window = stages.window_since(baseline)
        ended = clock.now()
    drained_from = clock.monotonic()
    for stage in STAGES:
        stages.wait_until_drained(stage, window.until, DRAIN_SECONDS)
    drained = clock.monotonic() - drained_from
    records = {stage: read_window(stages, stage, window, baseline) for stage in READ}
    lasted = (ended - baseline.started).total_seconds()
    print(f"{window.expected} trades in {lasted:.1f} s: {window.expected / lasted:.0f} a second")
    print(f"all of them at the API {drained:.1f} s after the end")
    for stage, table in records.items():
        print(f"{stage}: {count_records(window, table)} records")
    print(f"findings: {[one.to_json() for one in audit(window, records)] or 'none'}\n")
    print(f"{'freshness':10} {'p50 s':>7} {'p95':>7} {'p99':>7} {'max':>7}")
    for stage, values in seen.items():
        marks = np.percentile(values, [50, 95, 99, 100])
        print(f"{stage:10} " + " ".join(f"{mark:7.2f}" for mark in marks))
    print("\ncores used")
    for name, (seconds_used, at) in sorted(after.items()):
        used_before, at_before = before[name]
        print(f"{name:20} {(seconds_used - used_before) / (at - at_before):5.2f}")


def _cpu_seconds(pipeline: Pipeline) -> dict[str, tuple[float, float]]:
    """CPU time of each service since its start, as its cgroup has it, and when that was read."""
    found = {}
    for service in pipeline.all_services:
        label = f"label=com.docker.compose.project={pipeline.compose.project}"
        name = f"label=com.docker.compose.service={service}"
        listed = _docker("ps", "--quiet", "--filter", label, "--filter", name).split()
        files = "/sys/fs/cgroup/cpuacct/cpuacct.usage /sys/fs/cgroup/cpu.stat"
        text = _docker("exec", listed[0], "sh", "-c", f"cat {files} 2>/dev/null || true")
        # Version 1 has nanoseconds in one file, version 2 microseconds as `usage_usec N`.
        words = text.split()
        seconds = int(words[1]) / 1e6 if words[0] == "usage_usec" else int(words[0]) / 1e9
        found[service] = (seconds, time.monotonic())
    return found


def _docker(*arguments: str) -> str:
    command = ["docker", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    return done.stdout


if __name__ == "__main__":
    given = [float(text) for text in sys.argv[1:]]
    main(*(given + [2000.0, 120.0][len(given) :]))
