"""The lab under a bug: brought up, flowing, and asked by an experiment."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, TextIO

from k2chaos.clock import Clock, SystemClock
from k2chaos.errors import StageBlind, StageUnavailable
from k2chaos.pipeline_file import find_pipeline_file, load_pipeline
from k2chaos.system.engine.address import engine_address
from k2chaos.system.stages import Stages, open_stages
from tools.bugs.expected import ROOT, Expected

_CONTAINERS: Final = {
    "binance_stream": "binance-stream",
    "consumer_crypto": "consumer-crypto",
    "query_api": "k2-query-api",
}
_FLOW_SECONDS: Final = 120.0
"""After a start every service flows within half a minute, and on a busy machine within two."""
_FRESH_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.5
_LONGEST_RUN_SECONDS: Final = 600.0


class LabTroubleError(Exception):
    """The lab is not as it has to be before a run."""


def bring_up(bugs: str, log: TextIO) -> None:
    """
    Bring the lab up with *bugs*; what is said goes to *log*.

    Raises:
        LabTroubleError: It did not come up, nor the second time.
    """
    environ = {**os.environ, "LAB_BUGS": bugs}
    # A busy machine may need longer than one start waits; the second takes over what is there.
    for _ in range(2):
        code = _run(log, environ, _program("k2chaos"), "lab", "up")
        if not code:
            return
    message = f"`k2chaos lab up` ended with {code}, see {log.name}"
    raise LabTroubleError(message)


def make_ready(expected: Expected, log: TextIO) -> None:
    """
    Wait until records flow, and where it is wanted start the service with the bug anew.

    Raises:
        LabTroubleError: They do not.
    """
    pipeline = load_pipeline(find_pipeline_file(None, os.environ, None)).pipeline
    service = _CONTAINERS[expected.package]
    with contextlib.closing(open_stages(pipeline)) as stages:
        # An API that shows old records will not become fresh; what it reads has to be.
        _await_flow(stages, ("topic", "table") if expected.restart else ("topic", "table", "api"))
        if expected.restart:
            container = f"label=com.docker.compose.service={service}"
            docker = ("docker", "--host", engine_address())
            project = f"label=com.docker.compose.project={pipeline.compose.project}"
            command = (*docker, "ps", "-q", "--filter", project, "--filter", container)
            found = subprocess.run(command, check=True, capture_output=True, text=True)
            _run(log, None, *docker, "restart", *found.stdout.split())
            _await_flow(stages, ("topic", "table", "api"))


def run_experiment(expected: Expected, journals: Path, log: TextIO) -> dict[str, Any]:
    """Run it by the real command line; its ``verdict.json``, empty where there is none."""
    before = set(journals.glob("*/verdict.json"))
    environ = {**os.environ, "K2CHAOS_JOURNALS": str(journals)}
    _run(log, environ, _program("chaos"), "run", str(expected.file))
    fresh = sorted(set(journals.glob("*/verdict.json")) - before)
    verdict: dict[str, Any] = json.loads(fresh[-1].read_text(encoding="utf-8")) if fresh else {}
    return verdict


def _await_flow(stages: Stages, wanted: tuple[str, ...], clock: Clock | None = None) -> None:
    clock = clock or SystemClock()
    deadline = clock.monotonic() + _FLOW_SECONDS
    while troubles := [said for stage in wanted if (said := _stale(stages, stage))]:
        if clock.monotonic() > deadline:
            message = f"records do not flow after {_FLOW_SECONDS:g} s: {'; '.join(troubles)}"
            raise LabTroubleError(message)
        clock.wait(_LOOK_SECONDS)


def _stale(stages: Stages, stage: str) -> str:
    try:
        freshness = stages.freshness_seconds(stage)
    except (StageUnavailable, StageBlind) as error:
        return str(error)
    return f"{stage} is {freshness:.1f} s old" if freshness > _FRESH_SECONDS else ""


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _run(log: TextIO, environ: dict[str, str] | None, *command: str) -> int:
    log.write(f"$ {' '.join(command)}\n")
    log.flush()
    return subprocess.run(
        command, check=False, cwd=ROOT, env=environ, stdout=log, stderr=subprocess.STDOUT,
        timeout=_LONGEST_RUN_SECONDS,
    ).returncode  # fmt: skip
