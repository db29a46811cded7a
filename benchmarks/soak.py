"""
The lab over hours: does anything grow, slow down, or get lost?

``python benchmarks/soak.py run [hours]`` on a running lab writes a sample every ten seconds to
``journals/soak.jsonl`` (anew each time) and at the end counts every row of the table;
``python benchmarks/soak.py report`` prints what came of it, ``... draw FILE`` draws it (this needs
matplotlib).
"""

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import docker
import httpx
import numpy as np
from pyiceberg.catalog import load_catalog
from pyiceberg.expressions import GreaterThanOrEqual
from pyiceberg.table import Table

from k2chaos.clock import SystemClock
from k2chaos.pipeline import Pipeline
from k2chaos.pipeline_file import load_pipeline
from k2chaos.system.stages import open_stages

PIPELINE = Path("pipelines/lab.yaml")
SAMPLES = Path("journals/soak.jsonl")
TICK_SECONDS = 10.0
# A plan costs this process a good part of a second: not at every tick. And not in step with the
# sink, which merges manifests every 30th commit of 2 s: a minute would always see the same number.
PLAN_EVERY = 7
REQUESTS = 20
BUCKETS = 12
MEBI = 1 << 20
# "The first five minutes" and the last.
EDGE_SECONDS = 300.0


def run(hours: float, samples: Path) -> None:
    """Sample until the time is over, then count the rows."""
    pipeline = load_pipeline(PIPELINE).pipeline
    engine = docker.from_env()
    stages = open_stages(pipeline)
    clock = SystemClock()
    began = clock.monotonic()
    samples.parent.mkdir(parents=True, exist_ok=True)
    _plan(pipeline)  # the first one pays for imports
    with samples.open("w", encoding="utf-8") as file:
        for number in range(round(hours * 3600 / TICK_SECONDS)):
            clock.wait(max(0.0, began + number * TICK_SECONDS - clock.monotonic()))
            sample: dict[str, Any] = {"at": time.time()}
            looks: list[Callable[[], dict[str, Any]]] = [
                lambda: _services(engine, pipeline),
                lambda: _api(pipeline),
                lambda: {"freshness_seconds": stages.freshness_seconds("api")},
            ]
            if number % PLAN_EVERY == 0:
                looks.append(lambda: _plan(pipeline))
            for look in looks:
                try:
                    sample |= look()
                except Exception as error:  # noqa: BLE001 - two hours are not given up for one look
                    sample.setdefault("failed", []).append(f"{type(error).__name__}: {error}")
            file.write(json.dumps(sample) + "\n")
            file.flush()
        file.write(json.dumps({"at": time.time(), "rows": _rows(pipeline)}) + "\n")


def _services(engine: docker.DockerClient, pipeline: Pipeline) -> dict[str, Any]:
    label = f"com.docker.compose.project={pipeline.compose.project}"
    memory, cpu, restarts = {}, {}, {}
    for one in engine.containers.list(filters={"label": label}):
        stats = engine.api.stats(one.id, stream=False, one_shot=True)
        name = one.labels["com.docker.compose.service"]
        detail = stats["memory_stats"].get("stats", {})
        # The processes' own, by its name in version 1 and 2 of cgroups; the rest is cache.
        memory[name] = detail.get("total_rss", detail.get("anon", 0))
        cpu[name] = stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
        restarts[name] = one.attrs["RestartCount"]
    return {"memory": memory, "cpu_seconds": cpu, "restarts": restarts}


def _api(pipeline: Pipeline) -> dict[str, Any]:
    assert pipeline.api is not None
    headers = {"X-API-Key": pipeline.api.key}
    seconds, cpu = [], 0.0
    with httpx.Client(base_url=pipeline.api.url, headers=headers, timeout=10.0) as client:
        # The connection is no part of the answer.
        cpu -= _cpu_seconds(client)
        for _ in range(REQUESTS):
            began = time.perf_counter()
            client.get(pipeline.api.newest).raise_for_status()
            seconds.append(time.perf_counter() - began)
        cpu += _cpu_seconds(client)
    return {"api_ms": statistics.median(seconds) * 1000, "api_cpu_ms": cpu * 1000 / REQUESTS}


def _cpu_seconds(client: httpx.Client) -> float:
    """What the API's process has used; wall time depends on who else is on the machine."""
    lines = client.get("/metrics").raise_for_status().text.splitlines()
    return next(float(one.split()[1]) for one in lines if one.startswith("process_cpu_seconds"))


def _table(pipeline: Pipeline) -> Table:
    assert pipeline.table is not None
    properties = {"s3.region": "us-east-1", **pipeline.table.catalog}
    return load_catalog("soak", **properties).load_table(pipeline.table.name)


def _plan(pipeline: Pipeline) -> dict[str, Any]:
    """How long it takes a client to load the table and to find the files of the last minute."""
    began, cpu = time.perf_counter(), time.process_time()
    table = _table(pipeline)
    since = (datetime.now(UTC) - timedelta(minutes=1)).replace(tzinfo=None).isoformat()
    list(table.scan(row_filter=GreaterThanOrEqual("timestamp", since)).plan_files())
    took, used = time.perf_counter() - began, time.process_time() - cpu
    snapshot = table.current_snapshot()
    manifests = snapshot.manifests(table.io) if snapshot else []
    files = sum((one.existing_files_count or 0) + (one.added_files_count or 0) for one in manifests)
    return {
        "plan_ms": took * 1000,
        "plan_cpu_ms": used * 1000,
        "snapshots": len(table.metadata.snapshots),
        "manifests": len(manifests),
        "files": files,
    }


def _rows(pipeline: Pipeline) -> dict[str, int]:
    """Count all rows, those that came twice, and the ids missing between first and last."""
    columns = _table(pipeline).scan(selected_fields=("symbol", "source_sequence")).to_arrow()
    symbols = columns["symbol"].to_numpy(zero_copy_only=False)
    ids = columns["source_sequence"].to_numpy()
    twice = missing = 0
    for symbol in np.unique(symbols):
        own = ids[symbols == symbol]
        distinct = np.unique(own)
        twice += len(own) - len(distinct)
        missing += int(distinct[-1] - distinct[0] + 1) - len(distinct)
    return {"rows": len(ids), "twice": twice, "missing": missing}


def read(samples: Path) -> tuple[list[dict[str, Any]], dict[str, int] | None]:
    lines = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    rows = next((line["rows"] for line in reversed(lines) if "rows" in line), None)
    return [line for line in lines if "memory" in line], rows


def _median(samples: Iterable[dict[str, Any]], name: str) -> float:
    values = [sample[name] for sample in samples if sample.get(name) is not None]
    return statistics.median(values) if values else float("nan")


def _restarts(found: Sequence[dict[str, Any]]) -> int:
    """How often a restart policy acted; a start by hand sets the engine's count back."""
    counts = [sample["restarts"] for sample in found]
    steps = itertools.pairwise(counts)
    return sum(
        max(0, after[name] - before.get(name, 0)) for before, after in steps for name in after
    )


def report(samples: Path) -> None:
    """Print a row per twelfth of the time, and the last five minutes beside the first."""
    found, rows = read(samples)
    names = (
        "api_ms",
        "api_cpu_ms",
        "plan_ms",
        "plan_cpu_ms",
        "freshness_seconds",
        "snapshots",
        "manifests",
        "files",
    )
    services = sorted(found[0]["memory"])
    begin, end = found[0]["at"], found[-1]["at"]
    print("| minutes | " + " | ".join([*names, *(f"{one} MiB" for one in services)]) + " |")
    print("|---|" + "--:|" * (len(names) + len(services)))
    width = (end - begin) / BUCKETS
    spans = [(begin + k * width, begin + (k + 1) * width) for k in range(BUCKETS)]
    edges = [(begin, begin + EDGE_SECONDS), (end - EDGE_SECONDS, end)]
    for first, last in [*spans, *edges]:
        part = [sample for sample in found if first <= sample["at"] <= last]
        values = [f"{_median(part, name):.1f}" for name in names]
        memory = [f"{_median((s['memory'] for s in part), one) / MEBI:.0f}" for one in services]
        span = f"{(first - begin) / 60:.0f} to {(last - begin) / 60:.0f}"
        print(f"| {span} | " + " | ".join([*values, *memory]) + " |")
    failed = sum(len(sample.get("failed", ())) for sample in found)
    print(f"\nrestarts: {_restarts(found)}; looks that failed: {failed}; rows of the table: {rows}")


def draw(samples: Path, picture: Path) -> None:
    """Draw memory, latency and the number of files over time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    found, _ = read(samples)
    minutes = [(sample["at"] - found[0]["at"]) / 60 for sample in found]
    figure, (memory, latency, files) = plt.subplots(3, 1, figsize=(10, 10), sharex=True)
    for one in sorted(found[0]["memory"]):
        memory.plot(minutes, [s["memory"].get(one, 0) / MEBI for s in found], label=one)
    memory.set_ylabel("memory, MiB")
    memory.set_ylim(bottom=0)
    latency.plot(minutes, [s["api_ms"] for s in found], label="API, ?limit=200")
    planned = [(m, s) for m, s in zip(minutes, found, strict=True) if "plan_ms" in s]
    latency.plot(
        [m for m, _ in planned], [s["plan_ms"] for _, s in planned], label="load the table and plan"
    )
    latency.set_ylabel("latency, ms")
    latency.set_ylim(bottom=0)
    for name in ("snapshots", "manifests", "files"):
        files.plot([m for m, _ in planned], [s[name] for _, s in planned], label=name)
    files.set_ylabel("count")
    files.set_ylim(bottom=0)
    files.set_xlabel("minutes")
    for axes in (memory, latency, files):
        axes.legend(fontsize="small", ncols=3)
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=Path, default=SAMPLES)
    doing = parser.add_subparsers(dest="doing", required=True)
    doing.add_parser("run").add_argument("hours", type=float, nargs="?", default=2.0)
    doing.add_parser("report")
    doing.add_parser("draw").add_argument("picture", type=Path)
    options = parser.parse_args()
    if options.doing == "run":
        run(options.hours, options.samples)
    elif options.doing == "report":
        report(options.samples)
    else:
        draw(options.samples, options.picture)


if __name__ == "__main__":
    main()
