"""
The lab against the loss, the hanging and the slowness of everything it leans on.

``python benchmarks/failing_well.py`` on a running lab: each dependency is killed, frozen and
squeezed for 5, 30 and 90 s, one experiment of k2chaos a cell, judged record by record. About
90 minutes for all; cells that the results file has are not run again, so it can be interrupted.
``--write PAGE`` puts the table of all results into a page, between its two marks.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from k2chaos.clock import SystemClock
from k2chaos.pipeline_file import load_pipeline
from k2chaos.system.engine import connect
from k2chaos.system.runtime import Container, ContainerState

PIPELINE = Path("pipelines/lab.yaml")
TEMPLATE = Path("experiments/sink-kill.json")
RESULTS = Path("journals/failing-well.jsonl")
SECONDS = (5, 30, 90)
LOOK_SECONDS = 0.5
BEGIN, END = "<!-- failing-well: begin -->", "<!-- failing-well: end -->"

# What is broken: its role, which of its services (all: ""), how many containers that are, and how
# much of a core a squeeze leaves it: what makes it slow and does not stop it.
DEPENDENCIES = {
    "exchange": ("exchange", "", 1, 0.02),
    "kafka": ("broker", "", 1, 0.05),
    "schema-registry-1": ("registry", "schema-registry-1", 1, 0.05),
    "both registries": ("registry", "", 2, 0.05),
    "iceberg-rest": ("catalog", "", 1, 0.05),
    "postgres": ("catalog-db", "", 1, 0.02),
    "object-store": ("store", "", 1, 0.05),
}
# SIGKILL and down; frozen, so that connections are accepted and nobody answers; hardly any CPU.
KINDS = {"loss": "kill", "hang": "pause", "slowness": "squeeze_cpu"}


@dataclass
class Watch:
    """What could be seen from outside while a cell ran; filled by a thread of its own."""

    services: dict[str, Container]
    broken: tuple[str, ...]
    url: str
    key: str
    answers: list[tuple[float, int, bool]] = field(default_factory=list)
    healthy_since: dict[str, float] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    died: dict[str, int] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Look twice a second until it is over."""
        clock, runtime = SystemClock(), connect()
        with httpx.Client(timeout=5.0, headers={"X-API-Key": self.key}) as client:
            while not clock.wait(LOOK_SECONDS, self.over):
                for name, one in self.services.items():
                    self._note(name, runtime.state(one), clock.now().timestamp())
                self.answers.append((clock.now().timestamp(), *_ask(client, self.url)))

    def _note(self, name: str, state: ContainerState, now: float) -> None:
        if state.is_running and state.health == "healthy":
            self.healthy_since.setdefault(name, now)
        else:
            self.healthy_since.pop(name, None)
        # Only upwards: a start by the operator sets the engine's count back to nothing.
        before = self.restarts.get(name, state.restart_count)
        if state.restart_count > before:
            self.died[name] = self.died.get(name, 0) + state.restart_count - before
        self.restarts[name] = state.restart_count


def _ask(client: httpx.Client, url: str) -> tuple[int, bool]:
    try:
        response = client.get(f"{url}/v1/trades", params={"limit": "1"})
        return response.status_code, bool(response.json().get("meta", {}).get("degraded"))
    except (httpx.HTTPError, ValueError):
        return 0, False


def experiment(dependency: str, kind: str, seconds: int) -> dict[str, Any]:
    """The experiment of one cell, after the shape of one that ships."""
    role, service, count, cores = DEPENDENCIES[dependency]
    made: dict[str, Any] = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    made["title"] = f"{kind} of {dependency} for {seconds} s loses no trade and doubles none"
    made["description"] = "One cell of the table of the lab's failures."
    made["tags"] = [role, kind]
    arguments: dict[str, Any] = {
        "role": role,
        "service": service,
        "count": count,
        "duration": seconds,
    }
    if kind == "slowness":
        arguments["cores"] = cores
    action = made["method"][0]
    action["name"] = f"{kind}-of-{role}"
    action["provider"] |= {"func": KINDS[kind], "arguments": arguments}
    return made


def run_cell(dependency: str, kind: str, seconds: int) -> dict[str, Any]:
    """Run one cell; what came of it as one row."""
    pipeline = load_pipeline(PIPELINE).pipeline
    runtime = connect()
    services = {one.service: one for one in runtime.containers(pipeline.compose.project)}
    role, service, *_ = DEPENDENCIES[dependency]
    broken = (service,) if service else pipeline.services[role]
    assert pipeline.api is not None
    watch = Watch(services, broken, pipeline.api.url, pipeline.api.key)
    watcher = threading.Thread(target=watch.run, daemon=True)
    watcher.start()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{kind}-{dependency.replace(' ', '-')}-{seconds}.json"
        file.write_text(json.dumps(experiment(dependency, kind, seconds)), encoding="utf-8")
        environment = {**os.environ, "K2CHAOS_JOURNALS": str(Path(folder) / "journals")}
        command = [str(Path(sys.executable).with_name("chaos")), "run", str(file)]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        watch.over.set()
        watcher.join()
        verdicts = list(Path(folder).glob("journals/*/verdict.json"))
        if not verdicts:
            raise SystemExit(said.stdout + said.stderr)
        verdict = json.loads(verdicts[0].read_text(encoding="utf-8"))
    return _row(dependency, kind, seconds, verdict, watch) | {"died": watch.died}


def _row(
    dependency: str, kind: str, seconds: int, verdict: dict[str, Any], watch: Watch
) -> dict[str, Any]:
    faults = verdict["faults"]
    row: dict[str, Any] = {
        "dependency": dependency,
        "kind": kind,
        "seconds": seconds,
        "verdict": verdict["verdict"],
        "reasons": [one["text"] for one in verdict["reasons"]],
        "records": verdict["records"],
        "stalest": verdict["freshness"]["max"],
    }
    if not faults or not faults[0]["recovery"]:
        return row
    moments = [
        datetime.fromisoformat(one[name]).timestamp()
        for one in faults
        for name in ("injected_at", "healed_at")
    ]
    injected, healed = min(moments), max(moments)
    seen = [watch.healthy_since.get(name) for name in watch.broken]
    back = None if None in seen else max(one for one in seen if one is not None)
    during = [one for one in watch.answers if injected <= one[0] <= healed]
    last = max(faults, key=lambda one: str(one["healed_at"]))
    row |= {
        # Of a killed service; a frozen or squeezed one is back with the heal.
        "ready": None if back is None or kind != "loss" else round(max(0.0, back - healed), 1),
        "caught_up": last["recovery"]["from_heal"]["caught_up_seconds"],
        "reads": len(during),
        "reads_answered": sum(status == 200 for _, status, _ in during),  # noqa: PLR2004
        "reads_degraded": sum(degraded for *_, degraded in during),
    }
    return row


def cells(lengths: Iterable[int]) -> Iterator[tuple[str, str, int]]:
    # The short ones first: what is broken for good shows early.
    for seconds, dependency, kind in itertools.product(lengths, DEPENDENCIES, KINDS):
        yield dependency, kind, seconds


def results(path: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = map(json.loads, lines)
    return {(row["dependency"], row["kind"], row["seconds"]): row for row in rows}


HEAD = (
    "| of | what | s | expected | lost | doubled | stalest s | started s | caught up s "
    "| reads answered | services that ended themselves | verdict |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|--:|---|---|---|"
)


def line(row: dict[str, Any]) -> str:
    records = row["records"]
    reads = row.get("reads", 0)
    share = f"{100 * row['reads_answered'] / reads:.0f} %" if reads else "-"
    if row.get("reads_degraded"):
        share += f" ({100 * row['reads_degraded'] / reads:.0f} % degraded)"
    died = ", ".join(f"{name} x{n}" for name, n in row.get("died", {}).items() if n > 0)
    ready = row.get("ready")
    caught_up = "never" if row.get("caught_up") is None else f"{row['caught_up']:.1f}"
    if "caught_up" not in row:
        caught_up = "not tried"
    parts = (
        row["dependency"], row["kind"], row["seconds"], records["expected"], records["lost"],
        records["duplicated"], f"{row['stalest'] or 0:.1f}",
        f"{ready:.1f}" if ready is not None and row["kind"] == "loss" else "-", caught_up,
        share, died or "-", row["verdict"],
    )  # fmt: skip
    return "| " + " | ".join(map(str, parts)) + " |"


def table(rows: dict[tuple[str, str, int], dict[str, Any]]) -> str:
    names, kinds = list(DEPENDENCIES), list(KINDS)
    ordered = sorted(rows, key=lambda cell: (names.index(cell[0]), kinds.index(cell[1]), cell[2]))
    return "\n".join([HEAD, *(line(rows[cell]) for cell in ordered)])


def write(page: Path, text: str) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        message = f"{page} has no {BEGIN} ... {END} to put the table between"
        raise SystemExit(message)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    parser.add_argument("--seconds", type=int, nargs="*", default=SECONDS)
    parser.add_argument(
        "--only", nargs="*", default=[], help="words that a cell must have: hang, kafka"
    )
    options = parser.parse_args()
    if options.write:
        write(options.write, table(results(options.results)))
        return
    options.results.parent.mkdir(parents=True, exist_ok=True)
    print(HEAD, flush=True)
    for cell in cells(options.seconds):
        known = results(options.results)
        is_wanted = set(options.only) <= {str(part) for part in cell}
        if cell in known or not is_wanted:
            continue
        row = run_cell(*cell)
        if "caught_up" not in row:
            print(line(row), *row["reasons"], "(will be tried again)", flush=True)
            continue
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(line(row), *row["reasons"], flush=True)


if __name__ == "__main__":
    main()
