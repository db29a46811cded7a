"""
The observer beside a running lab: what it costs, and whether it keeps to its grid.

``python benchmarks/observer.py [seconds]`` on a running lab; ends with 1 where a promise is missed.

A look began when its sample was made, less how long it took; how far that lies behind its tick is
its lateness. Drift is the slope of a line through the least lateness of each part of the time:
what made others later was the machine.
"""

import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from k2chaos.clock import SystemClock
from k2chaos.evidence.folder import create_run_folder
from k2chaos.evidence.reading import read_run
from k2chaos.pipeline_file import load_pipeline
from k2chaos.system.engine.address import engine_address
from k2chaos.system.observer.keeper import Observer

SHARE = 0.10
"""Promise: of one core."""
DRIFT_MS = 1.0
"""Promise: a minute."""
HOLE_SECONDS = 1.0
"""Promise: no stage goes so long without an attempt."""
_BINS = 12
_HEAD = (
    f"{'stage':9} {'looks':>6} {'none':>5} {'p50 ms':>7} {'p95 ms':>7} {'hole s':>7} {'drift':>7}"
)
_TICKS = os.sysconf("SC_CLK_TCK")


def main(seconds: float) -> int:
    path = Path("pipelines/lab.yaml")
    sampling, clock = load_pipeline(path).pipeline.sampling, SystemClock()
    rates = {
        "exchange": sampling.exchange_hz,
        "topic": sampling.exchange_hz,
        "table": sampling.table_hz,
        "api": sampling.api_hz,
        "engine": 1.0,
    }
    with tempfile.TemporaryDirectory() as journals:
        folder = create_run_folder(Path(journals), "benchmark", datetime.now(UTC))
        observer = Observer(folder, path, engine_address())
        observer.begin()
        before, began, since = _cpu_seconds(observer.pid), clock.monotonic(), clock.now()
        clock.wait(seconds)
        used = _cpu_seconds(observer.pid) - before
        share = used / (clock.monotonic() - began)
        observer.end()
        evidence = read_run(folder.path)
        size = (folder.path / "samples.arrows").stat().st_size
    failures = [str(one["reason"]) for one in evidence.events_named("observer-failed")]
    if evidence.samples is None or failures:
        print(f"the observer failed: {failures}")
        return 1
    samples = evidence.samples.filter(pc.greater_equal(evidence.samples["at"], since))
    rows = samples.num_rows / seconds
    print(f"{share:.1%} of one core, {rows:.0f} samples/s, {size / seconds / 1000:.1f} kB/s\n")
    misses = [f"{share:.1%} of a core"] if share > SHARE else []
    print(_HEAD)
    for stage, rate in rates.items():
        misses += _tell(stage, _attempts(samples, stage), 1 / rate)
    print(f"\nmissed: {', '.join(misses)}" if misses else "\nall promises kept")
    return int(bool(misses))


def _attempts(samples: pa.Table, stage: str) -> pa.Table:
    is_one = pc.and_(
        pc.equal(samples["stage"], stage), pc.equal(samples["quantity"], "attempt_seconds")
    )
    return samples.filter(is_one)


def _tell(stage: str, attempts: pa.Table, period: float) -> list[str]:
    """Print one row, and return what it misses."""
    at = attempts["at"].cast(pa.int64()).to_numpy() / 1e6
    took = attempts["value"].to_numpy(zero_copy_only=False)
    is_answer = ~np.isnan(took)
    began, seconds = (at - took)[is_answer], took[is_answer]
    hole = float(np.diff(np.sort(at)).max())
    drift = _drift(began - began[0], period) * 60_000
    marks = np.percentile(seconds, [50, 95]) * 1000
    print(
        f"{stage:9} {len(seconds):6} {len(at) - len(seconds):5} {marks[0]:7.1f} {marks[1]:7.1f} "
        f"{hole:7.2f} {drift:+7.2f}"
    )
    misses = {
        f"{stage} drifts {drift:.2f} ms a minute": abs(drift) > DRIFT_MS,
        f"{stage} was not looked at for {hole:.2f} s": hole > max(HOLE_SECONDS, 1.5 * period),
    }
    return [what for what, is_missed in misses.items() if is_missed]


def _drift(began: np.ndarray, period: float) -> float:
    """By how much the grid runs away, in seconds a second."""
    middle = np.angle(np.exp(2j * np.pi * began / period).mean()) / (2 * np.pi) * period
    usual = middle + np.median((began - middle + period / 2) % period) - period / 2
    early = period / 10  # the rest of a period is for those that are late
    lateness = (began - usual + early) % period - early
    bins = np.array_split(np.arange(began.size), np.clip(began.size // 15, 3, _BINS))
    least = [one[np.argmin(lateness[one])] for one in bins if one.size]
    return float(np.polyfit(began[least], lateness[least], 1)[0])


def _cpu_seconds(pid: int | None) -> float:
    """Processor time of a process, all of its threads, in user and in system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
