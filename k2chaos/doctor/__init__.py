"""
What this host, its engine and the pipeline can do, and what to do where they cannot.

Touches nothing and never fails itself: whatever cannot be seen is a row that says so. Rows that
only the lab or convenience needs are notes, which do not count.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Final, Literal, Protocol

from k2chaos.clock import Clock, SystemClock
from k2chaos.errors import K2ChaosError, PipelineFileError, StageBlind, StageError, UsageError
from k2chaos.evidence.state import state_directory
from k2chaos.pipeline import Pipeline
from k2chaos.pipeline_file import find_pipeline_file, load_pipeline
from k2chaos.system.engine import connect
from k2chaos.system.faults.healing import status
from k2chaos.system.runtime import Runtime
from k2chaos.system.services import service_states
from k2chaos.system.stages import Stages, open_stages

Word = Literal["ok", "note", "missing", "unseen", "mistake"]

_DISTRIBUTIONS: Final = ("chaostoolkit-k2chaos", "chaostoolkit", "chaostoolkit-lib")
_TOLERABLE_OFFSET_SECONDS: Final = 5.0
_FREE_BYTES: Final = 1_000_000_000
_COMPOSE_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Check:
    """
    One row.

    Attributes:
        word: ``note`` where it is worth knowing but not needed.
        advice: What to do; empty where nothing is to be done.
    """

    name: str
    word: Word
    seen: str
    advice: str = ""


class Engine(Runtime, Protocol):
    """A runtime that can also say what it is."""

    def facts(self) -> dict[str, str]:
        """Version, cgroup version and the like, as words."""


def diagnose(
    pipeline_name: str | None,
    connect_engine: Callable[[], Engine] = connect,
    clock: Clock | None = None,
) -> tuple[Check, ...]:
    """Look at everything; the rows in the order in which trouble is best repaired."""
    clock = clock or SystemClock()
    pipeline, row = _pipeline(pipeline_name)
    engine, engine_rows = _engine(connect_engine)
    checks = [*_host(), row, *engine_rows, _compose(), _disk()]
    if pipeline and engine:
        checks += _services(engine, pipeline)
        checks += _engine_disk(engine, pipeline)
    if pipeline:
        checks += _stages(pipeline, clock)
    return (*checks, *_open_faults(clock))


def exit_code(checks: Iterable[Check]) -> int:
    """0 when all that is needed is there, 2 for a mistake in a file, else 3."""
    words = {check.word for check in checks}
    if "mistake" in words:
        return UsageError.exit_code
    return 3 if words & {"missing", "unseen"} else 0


def _host() -> Iterator[Check]:
    yield Check("python", "ok", platform.python_version())
    for name in _DISTRIBUTIONS:
        try:
            yield Check(name, "ok", version(name))
        except PackageNotFoundError:
            yield Check(name, "missing", "not installed", f"pip install {name}")
    plugins = entry_points(group="chaostoolkit.cli_plugins")
    if any(plugin.value.startswith("k2chaos.") for plugin in plugins):
        yield Check("chaos run", "ok", "takes several files, exits by verdict")
    else:
        advice = "install the package again (pip install), or use `k2chaos run`"
        yield Check("chaos run", "note", "is upstream's: the plug-in is not installed", advice)


def _pipeline(named: str | None) -> tuple[Pipeline | None, Check]:
    path = find_pipeline_file(named, os.environ, None)
    try:
        pipeline = load_pipeline(path).pipeline
    except PipelineFileError as error:
        advice = "correct the file; in the lab, `k2chaos lab up` sets its variables"
        return None, Check("pipeline file", "mistake", "; ".join(error.mistakes), advice)
    except UsageError as error:
        return None, Check("pipeline file", "mistake", str(error), "see above")
    stages = ", ".join(pipeline.stages)
    return pipeline, Check("pipeline file", "ok", f"{pipeline.name} ({path}), stages {stages}")


def _engine(connect_engine: Callable[[], Engine]) -> tuple[Engine | None, list[Check]]:
    try:
        engine = connect_engine()
        facts = engine.facts()
    except K2ChaosError as error:
        what, _, advice = str(error).partition(": ")
        return None, [Check("engine", "missing", what, advice or "start it")]
    checks = [Check("engine", "ok", f"{engine.engine}, {', '.join(map(' '.join, facts.items()))}")]
    if facts.get("rootless") == "yes":
        advice = "use kill or stop, or a rootful engine, where crash is refused"
        checks.append(Check("rootless engine", "note", "a crash from outside may fail", advice))
    return engine, checks


def _compose() -> Check:
    """Only the lab needs it."""
    for command in (("docker", "compose", "version", "--short"), ("docker-compose", "--version")):
        if shutil.which(command[0]) is None:
            continue
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_COMPOSE_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            name = " ".join(command[:-1] if command[0] == "docker-compose" else command[:2])
            return Check("compose", "ok", f"{name}: {done.stdout.strip()}")
    advice = "install docker-compose, or the compose plug-in of docker, to use `k2chaos lab`"
    return Check("compose", "note", "not found; only the lab needs it", advice)


def _disk() -> Check:
    journals = Path(os.environ.get("K2CHAOS_JOURNALS") or "journals").absolute()
    there = next(path for path in (journals, *journals.parents) if path.exists())
    free = shutil.disk_usage(there).free
    seen = f"{free / 1e9:.1f} GB free for {journals}"
    if not os.access(there, os.W_OK):
        return Check("journals", "missing", f"{there} is not writable", "set K2CHAOS_JOURNALS")
    if free < _FREE_BYTES:
        return Check("journals", "missing", seen, "make room, or set K2CHAOS_JOURNALS")
    return Check("journals", "ok", seen)


def _engine_disk(engine: Engine, pipeline: Pipeline) -> Iterator[Check]:
    try:
        used = engine.disk_used_ratio()
    except K2ChaosError:
        yield Check("engine's disk", "note", "cannot be seen from here (an engine elsewhere?)")
        return
    limit = pipeline.stop_when.disk_used_ratio
    seen = f"{used:.0%} used of at most {limit:.0%} (stop_when.disk_used_ratio)"
    if used >= limit:
        yield Check("engine's disk", "missing", seen, "make room where the engine keeps its data")
    else:
        yield Check("engine's disk", "ok", seen)


def _services(engine: Engine, pipeline: Pipeline) -> Iterator[Check]:
    try:
        services = service_states(engine, pipeline)
    except K2ChaosError as error:
        yield Check("services", "unseen", str(error), "is the engine still there?")
        return
    for one in services:
        name = f"{pipeline.role_of(one.service)} {one.service}"
        if one.is_healthy:
            is_checked = any(state.health == "healthy" for state in one.states)
            yield Check(name, "ok", "healthy" if is_checked else "running")
        else:
            advice = f"start project {pipeline.compose.project} (the lab: `k2chaos lab up`)"
            yield Check(name, "missing", one.trouble, advice)


def _stages(pipeline: Pipeline, clock: Clock) -> list[Check]:
    """All stages at once: one that hangs costs its own patience only."""
    stages = open_stages(pipeline)
    try:
        with ThreadPoolExecutor(max_workers=len(pipeline.stages) or 1) as pool:
            rows = pool.map(lambda stage: _stage(stages, stage), pipeline.stages)
            return [*rows, *_clock_offset(stages, clock)]
    finally:
        stages.close()


def _stage(stages: Stages, stage: str) -> Check:
    try:
        newest = stages.newest(stage)
        if stage == "api" and stages.api is not None:
            stages.api.check_key()
    except StageBlind as error:
        advice = "correct address, names and credentials in the pipeline file"
        return Check(f"stage {stage}", "unseen", str(error), advice)
    except StageError as error:
        advice = "start its service, and look at the services above"
        return Check(f"stage {stage}", "unseen", str(error), advice)
    if not newest:
        advice = "start the flow of records, or give it a minute after the start"
        return Check(f"stage {stage}", "missing", "reachable, but shows no record", advice)
    last = max(sighting.event_time for sighting in newest.values())
    return Check(f"stage {stage}", "ok", f"{len(newest)} keys, newest record of {last:%H:%M:%S}")


def _clock_offset(stages: Stages, clock: Clock) -> Iterator[Check]:
    if stages.exchange is None:
        return
    try:
        before = clock.now()
        theirs = stages.exchange.ledger().now
        ours = before + (clock.now() - before) / 2
    except StageError as error:
        yield Check("clock", "note", f"the exchange's was not seen: {error}")
        return
    offset = (theirs - ours).total_seconds()
    seen = f"the exchange's is {offset:+.2f} s from this host's"
    if abs(offset) > _TOLERABLE_OFFSET_SECONDS:
        yield Check("clock", "note", seen, "synchronise the clocks (NTP) of both hosts")
    else:
        yield Check("clock", "ok", seen)


def _open_faults(clock: Clock) -> Iterator[Check]:
    try:
        found = status(state_directory(), clock)
    except K2ChaosError as error:
        yield Check("open faults", "unseen", str(error), "see above")
        return
    abandoned = [one for one in found.open if one.is_abandoned]
    for one in abandoned:
        seen = f"{one.entry.fault.get('kind')} of {one.target}, nobody answers for it"
        yield Check("open faults", "missing", seen, "k2chaos heal")
    for holder in found.holders.values():
        yield Check("running", "note", f"{holder.run} (process {holder.pid})")
    if not abandoned:
        yield Check("open faults", "ok", "none that nobody answers for")


def failed(checks: Sequence[Check]) -> tuple[Check, ...]:
    """The rows that keep a run from being held."""
    return tuple(check for check in checks if check.word not in ("ok", "note"))
