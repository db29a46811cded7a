"""The commands that look after faults: ``k2chaos heal``, ``stop`` and ``status``."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from k2chaos.cli_options import takes_pipeline
from k2chaos.errors import UsageError

_INCONCLUSIVE: Final = 3


@click.command(short_help="Undo faults that are still open.")
@click.argument("fault_id", metavar="[ID]", required=False)
def heal(fault_id: str | None) -> int:
    """
    Undo faults that are still open, or the one called ID; safe to repeat.

    Works from any directory: open faults are on record in the state directory
    ($XDG_STATE_HOME/k2chaos). During a run this heals too, and that run ends inconclusive. Exit
    code 0 when nothing is open any more, 3 when something could not be undone or a line of a ledger
    could not be read (it says which). Helper containers that a killed run left are removed, too.

    \b
    Example:
      k2chaos heal
    """  # noqa: D301
    lines = [*_heal(fault_id)]
    for line in lines or ["no fault is open"]:
        click.echo(line)
    _drop_helpers()
    failed = any(not line.startswith("healed") for line in lines)
    return _INCONCLUSIVE if _tell_unreadable() or failed else 0


def _drop_helpers() -> None:
    """Remove the helper containers of killed runs, where the engine answers."""
    from k2chaos.errors import K2ChaosError
    from k2chaos.system.engine import connect

    with contextlib.suppress(K2ChaosError):  # the next helper removes them as well
        dropped = connect().drop_forgotten_helpers()
        if dropped:
            click.echo(f"removed: {dropped} helper containers that killed runs left")


def _tell_unreadable() -> bool:
    """Say which lines of which ledgers nobody can read; whether there are any."""
    from k2chaos.evidence.ledger import read_state_ledgers
    from k2chaos.evidence.state import state_directory

    doubts = read_state_ledgers(state_directory()).doubts
    for doubt in doubts:
        click.echo(doubt)
    return bool(doubts)


@click.command(short_help="Emergency stop: end running experiments, and heal.")
@click.argument("project", metavar="[PROJECT]", required=False)
@click.option("--force", is_flag=True, help="Remove the engine-wide lock, whoever holds it.")
@takes_pipeline
def stop(pipeline: str | None, project: str | None, *, force: bool) -> int:
    """
    End the running experiment, undo what it broke, and say what was done; from any directory.

    Without PROJECT (a Compose project, as `k2chaos status` names it) or --pipeline, all your runs
    are ended. A run ends inconclusive; one that cannot hear (its process is suspended) is killed,
    and healed from the ledger. With --force the engine-wide lock on PROJECT is removed as well: it
    may be another user's, who then no longer knows of you. Exit code 0 when nothing is broken any
    more, 3 otherwise.

    \b
    Example:
      k2chaos stop
    """  # noqa: D301
    from k2chaos.clock import SystemClock
    from k2chaos.evidence.state import state_directory
    from k2chaos.system import stopping

    if project is None and pipeline is not None:
        from k2chaos.pipeline_file import load_pipeline

        project = load_pipeline(Path(pipeline)).pipeline.compose.project
    if force and project is None:
        message = "--force needs a PROJECT, or --pipeline: whose lock is to be removed?"
        raise UsageError(message)
    done = stopping.stop(state_directory(), lambda: _heal(None, project), SystemClock(), project)
    for line in done.did or ("nothing runs, and no fault is open",):
        click.echo(line)
    if force and project is not None:
        from k2chaos.system.engine import connect

        click.echo(stopping.force_engine_lock(connect(), project))
    for fault_id in done.still_open:
        click.echo(f"STILL BROKEN: {fault_id}; try again: k2chaos heal {fault_id}")
    return _INCONCLUSIVE if _tell_unreadable() or done.still_open else 0


def _heal(fault_id: str | None, project: str | None = None) -> Iterator[str]:
    """Heal what is open; a line for each fault."""
    from k2chaos.clock import SystemClock
    from k2chaos.evidence.state import state_directory
    from k2chaos.system.engine import connect
    from k2chaos.system.faults.healing import heal_open

    for one in heal_open(state_directory(), connect, SystemClock(), fault_id, project):
        yield f"{one.outcome}: {one.kind} of {one.target} ({one.fault_id}) {one.detail}"


@click.command("status", short_help="Open faults, running experiments, who holds what.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of the lines.")
def status(*, as_json: bool) -> int:
    """
    List running experiments with their guardians, the engine's locks, and open faults.

    Touches nothing, heals nothing; works from any directory. Exit code 0 when no fault is open
    that nobody answers for and every ledger can be read, else 3.

    \b
    Example:
      k2chaos status --json
    """  # noqa: D301
    from k2chaos.clock import SystemClock
    from k2chaos.evidence.state import state_directory
    from k2chaos.system.engine import connect
    from k2chaos.system.overview import is_clean, overview

    seen = overview(state_directory(), SystemClock(), connect)
    if as_json:
        click.echo(json.dumps(seen, indent=2))
    else:
        for line in _lines(seen):
            click.echo(line)
    return 0 if is_clean(seen) else _INCONCLUSIVE


def _lines(seen: Mapping[str, Any]) -> Iterator[str]:
    for run in seen["runs"]:
        yield "running: {run} on {project}, process {pid}, {folder}".format(**run)
        pid = run["guardian_pid"]
        yield f"guardian of {run['run']}: " + (f"process {pid}" if pid else "none (no fault yet?)")
    for lock in seen["engine_locks"] or ():
        state = "; abandoned, the next run takes it over" if lock["abandoned"] else ""
        words = "locked on the engine: {project} by run {run} of {user} on {host}, process {pid}"
        yield words.format(**lock) + state
    for fault in seen["open"]:
        state = "abandoned; `k2chaos heal` undoes it" if fault["abandoned"] else "held by its run"
        yield "open: {kind} of {target} ({id}): ".format(**fault) + state
    yield from (f"unreadable: {line}" for line in seen["unreadable"])
    if seen["engine_trouble"]:
        yield f"locks on the engine: not seen, {seen['engine_trouble']}"
    if not any(seen[name] for name in ("runs", "open", "unreadable")):
        is_others = any(not lock["abandoned"] for lock in seen["engine_locks"] or ())
        whose = " of yours" if is_others else ""
        yield f"no run{whose}, and no fault{whose} is open"
