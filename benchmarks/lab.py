"""
The lab at rest: freshness of every stage, and what each service uses.

``python benchmarks/lab.py [seconds]`` on a running lab; prints two tables.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

from k2chaos.clock import SystemClock
from k2chaos.pipeline_file import load_pipeline
from k2chaos.system.stages import open_stages

TICK_SECONDS = 0.2


def main(seconds: float) -> None:
    stages = open_stages(load_pipeline(Path("pipelines/lab.yaml")).pipeline)
    clock = SystemClock()
    seen: dict[str, list[float]] = {"topic": [], "table": [], "api": []}
    until = clock.monotonic() + seconds
    while clock.monotonic() < until:
        for stage, values in seen.items():
            values.append(stages.freshness_seconds(stage))
        clock.wait(TICK_SECONDS)
    print(f"freshness in seconds over {seconds:g} s ({len(seen['api'])} samples)")
    print(f"{'stage':8} {'p50':>7} {'p95':>7} {'p99':>7} {'max':>7}")
    for stage, values in seen.items():
        marks = np.percentile(values, [50, 95, 99, 100])
        print(f"{stage:8} " + " ".join(f"{mark:7.2f}" for mark in marks))
    form = "{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}"
    command = ["docker", "stats", "--no-stream", "--format", form]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [line for line in sorted(listed.splitlines()) if line.startswith("k2-lab")]
    print()
    print("\n".join(rows))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
