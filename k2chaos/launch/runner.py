"""
Running experiment files, one child process each, and one summary over them.

Rules: every file is checked before the first child starts; a child lives in its own session and
is told to end exactly once, with SIGINT, however often and by whatever signal we are told; its
verdict is read from the evidence, never from its exit code.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from k2chaos.clock import Clock, SystemClock
from k2chaos.errors import ExperimentError, UsageError
from k2chaos.experiment_file import ExperimentFile, is_url, read_experiment, uses_k2chaos
from k2chaos.launch.child import EXPERIMENT, PARENT_FD, REPORT
from k2chaos.launch.outcome import (
    Ending,
    Outcome,
    dry,
    exit_code,
    not_run,
    of_upstream,
    read_outcome,
)
from k2chaos.launch.relay import Relay
from k2chaos.lint import lint_experiment
from k2chaos.sweeping import sweep_abandoned

LOG: Final = "chaostoolkit.log"


@dataclass(frozen=True, slots=True)
class Request:
    """
    What was typed.

    Attributes:
        chaos_options: Options of ``chaos`` itself, to be passed on.
        run_options: Options of ``chaos run``, to be passed on; without the journal's path.
        journal_path: Only if it was typed.
        has_own_log: The user said where the log goes, or that there is none.
        pipeline: ``--pipeline``; wins over environment and configuration.
        variables: ``--var``, as parsed.
    """

    sources: tuple[str, ...]
    chaos_options: tuple[str, ...] = ()
    run_options: tuple[str, ...] = ()
    journal_path: str | None = None
    has_own_log: bool = False
    pipeline: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    is_dry: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """
    One experiment to be run by one child.

    Attributes:
        is_ours: Whether it uses k2chaos; ``None`` for a URL, of which only its run can tell.
        secrets: Values that must not stay in its log.
    """

    source: str
    name: str
    claim: str
    is_ours: bool | None
    secrets: tuple[str, ...] = field(default=(), repr=False)


def run_experiments(
    request: Request, output: TextIO | None = None, clock: Clock | None = None
) -> int:
    """
    Run all experiments of *request*, print the summary, return the exit code.

    Raises:
        UsageError: Something typed or written is wrong; nothing was run.
    """
    from k2chaos.launch.summary import print_summary

    jobs = prepare(request)
    outcomes = _run_all(jobs, request, clock or SystemClock())
    if len(outcomes) == 1 and outcomes[0].upstream_code is not None:
        return outcomes[0].upstream_code
    print_summary(outcomes, output or sys.stdout)
    return exit_code(outcomes)


def prepare(request: Request) -> tuple[Job, ...]:
    """
    Check everything that can be checked without touching anything.

    Raises:
        UsageError: All mistakes of all files at once.
    """
    problems = [*_clashes(request)]
    jobs = []
    for source in request.sources:
        if is_url(source):
            jobs.append(Job(source, Path(source).stem, source, is_ours=None))
            continue
        try:
            jobs.append(_job(read_experiment(source), request))
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise UsageError("\n".join(dict.fromkeys(problems)))
    return tuple(jobs)


def _clashes(request: Request) -> Iterable[str]:
    if len(request.sources) == 1:
        return
    for option, typed in (
        ("--journal-path", request.journal_path is not None),
        ("--events-file", "--events-file" in request.run_options),
    ):
        if typed:
            yield (
                f"{option} names one file, but {len(request.sources)} experiments would write it; "
                "leave it out (each run keeps its journal in its run folder)"
            )


def _job(file: ExperimentFile, request: Request) -> Job:
    from k2chaos.pipeline_file import find_pipeline_file, load_pipeline

    claim = file.claim or file.name
    if not uses_k2chaos(file.tree):
        return Job(file.source, file.name, claim, is_ours=False)
    overridden = request.variables.get("pipeline")
    configured = overridden if isinstance(overridden, str) else file.configured_pipeline
    problems = []
    loaded = None
    try:
        loaded = load_pipeline(find_pipeline_file(request.pipeline, os.environ, configured))
    except UsageError as error:
        problems.append(str(error))
    pipeline = loaded.pipeline if loaded else None
    mistakes = lint_experiment(file.tree, pipeline, request.variables)
    if mistakes:
        problems.append(str(ExperimentError(file.source, mistakes)))
    if problems:
        raise UsageError("\n".join(problems))
    secrets = loaded.secrets if loaded else ()
    return Job(file.source, file.name, claim, is_ours=True, secrets=secrets)


def _run_all(jobs: tuple[Job, ...], request: Request, clock: Clock) -> tuple[Outcome, ...]:
    outcomes: list[Outcome] = []
    with Relay() as relay:
        for number, job in enumerate(jobs, start=1):
            if relay.is_interrupted or any(one.was_stopped for one in outcomes):
                outcomes.append(not_run(job.name, job.claim))
                continue
            if len(jobs) > 1:
                sys.stderr.write(f"k2chaos: {number} of {len(jobs)}: {job.name}: {job.claim}\n")
                sys.stderr.flush()
            outcome = _run_one(job, request, relay, clock)
            outcomes.append(dry(outcome) if request.is_dry else outcome)
    return tuple(outcomes)


def _run_one(job: Job, request: Request, relay: Relay, clock: Clock) -> Outcome:
    folder = Path(tempfile.mkdtemp(prefix="k2chaos-"))
    report = folder / "report.json"
    ending = _child(_arguments(job, request, folder), report, request, relay, clock)
    if job.is_ours is False or (job.is_ours is None and not _was_ours(report, request)):
        shutil.rmtree(folder, ignore_errors=True)
        return of_upstream(job.name, job.claim, ending)
    outcome = read_outcome(job.name, job.claim, report, ending)
    if outcome.has_no_verdict:
        sweep_abandoned()  # its child may have died before it could heal
    _keep_log(folder / LOG, outcome.folder, job.secrets)
    shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _was_ours(report: Path, request: Request) -> bool:
    """Whether an experiment that was fetched by its run turned out to use k2chaos."""
    if report.exists():
        return True
    try:
        journal = json.loads(Path(request.journal_path or "journal.json").read_text("utf-8"))
    except (OSError, ValueError):
        return True  # nobody can tell, so nobody may take it for a pass
    return not isinstance(journal, dict) or uses_k2chaos(journal.get("experiment") or {})


def _arguments(job: Job, request: Request, folder: Path) -> list[str]:
    """What the child is called with: upstream's defaults, but nothing left in the way."""
    log: tuple[str, ...] = ()
    journal = request.journal_path
    if job.is_ours:
        log = () if request.has_own_log else ("--log-file", str(folder / LOG))
        journal = journal or str(folder / "journal.json")
    elif journal is None and len(request.sources) > 1:
        journal = f"./journal-{job.name}.json"  # upstream's default would be overwritten
    journal_options = ("--journal-path", journal) if journal else ()
    return [
        *("--no-version-check", *log, *request.chaos_options),
        *("run", *request.run_options, *journal_options, "--", job.source),
    ]


def _child(
    arguments: list[str], report: Path, request: Request, relay: Relay, clock: Clock
) -> Ending:
    if request.journal_path is not None:
        Path(request.journal_path).unlink(missing_ok=True)  # never to be taken for this run's
    reading, writing = os.pipe()
    environment = {
        **os.environ,
        REPORT: str(report),
        EXPERIMENT: arguments[-1],
        PARENT_FD: str(reading),
    }
    if request.pipeline is not None:
        environment["K2CHAOS_PIPELINE"] = request.pipeline
    started = clock.monotonic()
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "k2chaos.launch.child", *arguments],
            env=environment,
            pass_fds=(reading,),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(reading)
        with relay.to(child):
            code = child.wait()
    finally:
        os.close(writing)
    return Ending(code, clock.monotonic() - started)


def _keep_log(log: Path, folder: str | None, secrets: tuple[str, ...]) -> None:
    """Put upstream's log beside the other evidence, the pipeline's secrets blotted out."""
    if folder is None or not Path(folder).is_dir() or not log.is_file():
        return
    text = log.read_text(encoding="utf-8", errors="replace")
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    (Path(folder) / LOG).write_text(text, encoding="utf-8")
