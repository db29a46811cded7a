"""
How long a container stays paused after the run that paused it was killed.

``python benchmarks/guardian.py [kills]`` on an idle machine. Each kill is SIGKILL of the run's
whole process group; the time is from just before it to the engine's own event ``unpause``, both by
the clock of this host. A run and its guardian are new for each kill. Prints percentiles.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import docker
import numpy as np
from rich.console import Console
from rich.progress import track

from k2chaos.evidence.ledger import read_ledger
from k2chaos.system.engine.address import engine_address
from tests.contract.containers import throwaway_project

IMAGE = "debian:trixie-slim"
GIVE_UP_SECONDS = 30.0
RUN = """
import sys, time
from pathlib import Path
from k2chaos.clock import SystemClock
from k2chaos.evidence.ledger import FaultLedger
from k2chaos.system.engine import connect
from k2chaos.system.faults import System
from k2chaos.system.faults.held import Holding, held
from k2chaos.system.faults.process import Pause
from k2chaos.system.guardian.keeper import Guardian
from k2chaos.system.interrupt import Interrupt
from k2chaos.system.runtime import Container

folder, engine, project = sys.argv[1:]
ledger = FaultLedger("run-1", project, (Path(folder) / "state.jsonl",))
guardian = Guardian(ledger.paths[0], engine, Path(folder) / "guardian.log")
system = System(connect(engine))
holding = Holding(system, ledger, SystemClock(), Interrupt(), guardian.watch_over)
with held(Pause(Container(engine, project, "kafka")), 60.0, holding):
    print("held", flush=True)
    time.sleep(3600)
"""


def main() -> None:
    """Kill, and measure."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    address, project = engine_address(), throwaway_project()
    client = docker.DockerClient(base_url=address)
    labels = {
        "com.docker.compose.project": project,
        "com.docker.compose.service": "kafka",
        "com.docker.compose.container-number": "1",
        "com.docker.compose.oneoff": "False",
    }
    container = client.containers.run(IMAGE, ["sleep", "86400"], detach=True, labels=labels)
    try:
        took = [
            _one(client, container, address, project)
            for _ in track(range(kills), "kills", console=Console(stderr=True))
        ]
    finally:
        container.remove(force=True)
    marks = dict(zip((50, 95, 99, 100), np.percentile(took, [50, 95, 99, 100]), strict=True))
    shown = ", ".join(f"p{mark} {value * 1e3:.0f} ms" for mark, value in marks.items())
    print(f"{kills} kills, healed {len(took)}: {shown}")


def _one(client: docker.DockerClient, container: object, address: str, project: str) -> float:
    """One kill; seconds until the engine thawed the container."""
    identity = container.id  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.Popen(
            [sys.executable, "-c", RUN, folder, address, project],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert run.stdout is not None
        assert run.stdout.readline().strip() == "held"
        filters = {"container": identity, "event": "unpause"}
        events = client.events(since=int(time.time()), filters=filters, decode=True)
        killed_at = time.time()
        os.killpg(run.pid, signal.SIGKILL)
        thawed_at = next(one["timeNano"] / 1e9 for one in events)
        events.close()
        run.communicate()
        until = time.monotonic() + GIVE_UP_SECONDS
        while read_ledger(Path(folder) / "state.jsonl").open:
            assert time.monotonic() < until, json.dumps(folder)
            time.sleep(0.01)
    return thawed_at - killed_at


if __name__ == "__main__":
    main()
