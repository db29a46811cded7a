"""The commands that look after faults: ``k2chaos heal``, ``stop`` and ``status``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from k2chaos.errors import UsageError

_INCONCLUSIVE: Final = 3


@click.command(short_help="Undo faults that are still open.")
@click.argument("fault_id", metavar="[ID]", required=False)
def heal(fault_id: str | None) -> int:
    """
    Undo faults that are still open, or the one called ID; safe to repeat.

    Works from any directory: open faults are on record in the state directory
    ($XDG_STATE_HOME/k2chaos). During a run this heals too, and that run ends inconclusive. Exit
    code 0 when nothing is open any more, 3 when something could not be undone.

    \b
    Example:
      k2chaos heal
    """  # noqa: D301
    from k2chaos.clock import SystemClock
    from k2chaos.evidence.state import state_directory
    from k2chaos.system.engine import connect
    from k2chaos.system.faults.healing import heal_open

    healings = heal_open(state_directory(), connect, SystemClock(), fault_id)
    for one in healings:
        click.echo(f"{one.outcome}: {one.kind} of {one.target} ({one.fault_id}) {one.detail}")
    if not healings:
        click.echo("no fault is open")
    return _INCONCLUSIVE if any(one.outcome != "healed" for one in healings) else 0


@click.command(short_help="Emergency stop: end running experiments, and heal.")
@click.argument("project", metavar="[PROJECT]", required=False)
@click.option("--force", is_flag=True, help="Remove the engine-wide lock, whoever holds it.")
@click.pass_obj
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
    return _INCONCLUSIVE if done.still_open else 0


def _heal(fault_id: str | None, project: str | None = None) -> Iterator[str]:
    """Heal what is open; a line for each fault."""
    from k2chaos.clock import SystemClock
    from k2chaos.evidence.state import state_directory
    from k2chaos.system.engine import connect
    from k2chaos.system.faults.healing import heal_open

    for one in heal_open(state_directory(), connect, SystemClock(), fault_id, project):
        yield f"{one.outcome}: {one.kind} of {one.target} ({one.fault_id}) {one.detail}"


@click.command("status", short_help="Open faults and running experiments.")
def status() -> int:
    """
    List open faults and running experiments; touches nothing, heals nothing.

    Exit code 0 when no fault is open that nobody answers for, else 3.

    \b
    Example:
      k2chaos status
    """  # noqa: D301
    from k2chaos.clock import SystemClock
    from k2chaos.evidence.state import state_directory
    from k2chaos.system.faults import healing

    found = healing.status(state_directory(), SystemClock())
    for pipeline, holder in found.holders.items():
        click.echo(f"running: {holder.run} on {pipeline}, process {holder.pid}, {holder.folder}")
    for fault in found.open:
        state = "abandoned; `k2chaos heal` undoes it" if fault.is_abandoned else "held by its run"
        kind = fault.entry.fault.get("kind")
        click.echo(f"open: {kind} of {fault.target} ({fault.entry.fault_id}): {state}")
    for line in found.unreadable:
        click.echo(f"unreadable: {line}")
    if not (found.holders or found.open or found.unreadable):
        click.echo("no run, and no fault is open")
    is_clean = not found.unreadable and not any(fault.is_abandoned for fault in found.open)
    return 0 if is_clean else _INCONCLUSIVE
