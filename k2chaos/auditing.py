"""
Is the data of the last minutes or hours whole? Every record of a window at every stage, no fault.

What was looked at is kept as a run folder, like that of an experiment, and judged from there.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TextIO

from pydantic import TypeAdapter
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from k2chaos.clock import Clock
from k2chaos.errors import StageBlind, StageUnavailable, UsageError
from k2chaos.evidence.folder import AUDIT, MANIFEST, RunFolder, create_run_folder
from k2chaos.evidence.manifest import write_manifest
from k2chaos.evidence.reading import read_run
from k2chaos.judge.document import verdict_document
from k2chaos.pipeline import STAGES, Pipeline
from k2chaos.pipeline_file import PipelineFile
from k2chaos.system.gathering import Gathering, note_unread
from k2chaos.system.stages import Stages, open_stages
from k2chaos.system.windows import window_between

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_EARLIEST: Final = datetime(1970, 1, 2, tzinfo=UTC)
"""Brokers tell times by milliseconds since 1970, and take some below 0 for another question."""
_STYLES: Final = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow"}


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when records are asked for; no end is now."""

    since: datetime
    until: datetime | None = None


def read_span(since: str, until: str | None, now: datetime) -> Span:
    """
    Read ``--since`` and ``--until``: ``15m`` ago, or a moment as ISO 8601 (naive is UTC).

    Raises:
        UsageError: It is neither, or the span is empty.
    """
    begin = _moment(since, now)
    end = _moment(until, now) if until is not None else None
    last = "now" if end is None or end > now else f"--until {until}"
    if begin >= min(end or now, now):
        message = f"--since {since} is not before {last}: nothing to look at"
        raise UsageError(message)
    if begin < _EARLIEST:
        message = f"--since {since} is before {_EARLIEST:%Y-%m-%d}: no topic knows such a time"
        raise UsageError(message)
    return Span(begin, end)


def _moment(text: str, now: datetime) -> datetime:
    try:
        if ago := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip()):
            return now - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = f"{text!r} is no time: give 90s, 15m, 6h or 2d ago, or 2026-01-31T12:00:00Z"
        raise UsageError(message) from error


def audit_pipeline(
    file: PipelineFile,
    span: Span,
    clock: Clock,
    environ: Mapping[str, str] = os.environ,
    opened: Callable[[Pipeline, Clock], Stages] = open_stages,
) -> tuple[Path, dict[str, Any]]:
    """
    Read every stage for *span* and judge it.

    Returns:
        The folder with the evidence, and its ``verdict.json``.

    Raises:
        UsageError: A stage refuses our credentials; no folder can be made.
    """
    with contextlib.closing(opened(file.pipeline, clock)) as stages:
        with _usage_errors(file.pipeline):
            stages.check_credentials()
        journals = Path(environ.get("K2CHAOS_JOURNALS") or "journals")
        folder = create_run_folder(journals, AUDIT, clock.now(), file.secrets)
        folder.append_event("began")
        folder.write_json("run.json", _facts(file, folder, span))
        _gather(stages, folder, span, clock)
        folder.append_event("ended")
        write_manifest(folder.path)
    document = verdict_document(read_run(folder.path))
    folder.write_json("verdict.json", document)
    return folder.path, document


@contextlib.contextmanager
def _usage_errors(pipeline: Pipeline) -> Iterator[None]:
    try:
        yield
    except StageBlind as error:
        message = f"pipeline {pipeline.name}: {error}. Nothing was read"
        raise UsageError(message) from error


def _gather(stages: Stages, folder: RunFolder, span: Span, clock: Clock) -> None:
    try:
        baseline, window = window_between(stages, span.since, span.until)
    except (StageUnavailable, StageBlind) as error:
        note_unread(folder, stages.pipeline.stages[0], error)
        return
    gathering = Gathering(stages, baseline, clock, folder)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=len(stages.pipeline.stages))
        for stage in gathering.gather(window):
            progress.update(task, advance=1, description=f"reading {stage}")


def _facts(file: PipelineFile, folder: RunFolder, span: Span) -> dict[str, Any]:
    pipeline = TypeAdapter(Pipeline).dump_python(file.pipeline, mode="json")
    kept = ("name", "environment", "services", "promise", "budgets", "limits")
    return {
        "schema": 1,
        "kind": AUDIT,
        "manifest": MANIFEST,
        "run": folder.run,
        "experiment": AUDIT,
        "claim": "Every record of the window is at every stage, once and unchanged",
        "started": span.since.isoformat(),
        "until": span.until.isoformat() if span.until else None,
        "pipeline": {**{key: pipeline[key] for key in kept}, "stages": file.pipeline.stages},
        "pipeline_file": file.text,
    }


def print_audit(folder: Path, document: Mapping[str, Any], output: TextIO = sys.stdout) -> None:
    """The records of each stage, every finding, every reason, and the verdict."""
    console = Console(file=output, highlight=False)
    records = document["records"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage")
    table.add_column("records", justify="right")
    table.add_row("expected", _count(records["expected"]))
    for stage in STAGES[1:]:
        if stage in records:
            table.add_row(stage, _count(records[stage]))
    console.print(table)
    for finding in document["findings"]:
        named = ", ".join(str(one) for one in finding["examples"][:3])
        line = f"{finding['anomaly']} at {finding['at']}: {finding['count']}, such as {named}"
        console.print(f"[red]{escape(line)}[/]", soft_wrap=True)
    for reason in document["reasons"]:
        console.print(f"  {escape(reason['code'])}: {escape(reason['text'])}", soft_wrap=True)
    verdict = document["verdict"]
    console.print(f"[{_STYLES[verdict]}]{verdict}[/]  {escape(str(folder))}", soft_wrap=True)


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
