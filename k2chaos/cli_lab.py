"""The commands ``k2chaos lab ...``: the reference pipeline, in a clone only."""

import sys

import click

from k2chaos.errors import EXIT_CRASH, UsageError

_INCONCLUSIVE = 3
_MEBI = 1 << 20


def _refuse_during_a_run() -> None:
    """Starting and stopping would end a run's fault behind its back."""
    from k2chaos.evidence.state import held_pipelines, state_directory
    from k2chaos.system.lab.clone import PROJECT

    holder = held_pipelines(state_directory()).get(PROJECT)
    if holder is not None:
        message = (
            f"run {holder.run} (process {holder.pid}) is using the lab; wait for its end, or "
            "interrupt it (Ctrl-C there). Nothing was changed"
        )
        raise UsageError(message)


@click.group(short_help="Start and stop the reference pipeline.")
def lab() -> None:
    """
    Start and stop the reference pipeline; in a clone only.

    \b
    Example:
      k2chaos lab up && k2chaos lab status
    """  # noqa: D301 - \b is click's mark for lines to be left as they are


@lab.command("engine", short_help="Get a container engine, without starting the lab.")
@click.option("--restart", is_flag=True, help="Restart the one that runs, with the lab on it.")
def engine(*, restart: bool) -> int:
    """
    Get a container engine and the base image; start nothing else.

    An engine that answers is used as it is. Where none does, it is installed and started on
    Debian and Ubuntu as root; anywhere else the message says what to install. With --restart, the
    engine is ended and started again, as an upgrade does: containers come back as far as their
    restart policies promise. Refused while others than the lab run on it.

    \b
    Example:
      k2chaos lab engine
    """  # noqa: D301
    from rich.console import Console

    from k2chaos.system.lab import prepare_engine, restart_engine

    if restart:
        _refuse_during_a_run()
        restart_engine(Console())
    else:
        prepare_engine(Console())
    return 0


@lab.command("up", short_help="Build what is missing, start it, wait until it is healthy.")
def up() -> int:
    """
    Bring the reference pipeline up: engine, images, secrets, containers.

    Running it again is always right: what is there is used, what is half there is taken over.
    Returns when every service is healthy. LAB_BUGS=name,... gives it bugs on purpose, by the names
    of stack/services/lab_bugs/catalogue.toml; the next start without it takes them away.

    \b
    Example:
      k2chaos lab up
    """  # noqa: D301
    from rich.console import Console

    from k2chaos.sweeping import sweep_abandoned
    from k2chaos.system.lab import lab_up

    sweep_abandoned()
    _refuse_during_a_run()
    lab_up(Console())
    return 0


@lab.command("down", short_help="Stop it; its data stay unless you say otherwise.")
@click.option("--volumes", is_flag=True, help="Remove its volumes too: all records are gone.")
def down(*, volumes: bool) -> int:
    """
    Stop the reference pipeline and remove its containers and network.

    \b
    Example:
      k2chaos lab down --volumes
    """  # noqa: D301
    from rich.console import Console

    from k2chaos.sweeping import sweep_abandoned
    from k2chaos.system.lab import lab_down

    sweep_abandoned()
    _refuse_during_a_run()
    lab_down(Console(), volumes=volumes)
    return 0


@lab.command("status", short_help="Its services, one line each.")
@click.option("--memory", is_flag=True, help="Ask for memory too, which takes a second or two.")
def status(*, memory: bool) -> int:
    """
    List the services of the reference pipeline; changes nothing.

    Exit code 0 when all of them run and are healthy, else 3.

    \b
    Example:
      k2chaos lab status --memory
    """  # noqa: D301
    from rich.console import Console
    from rich.table import Table

    from k2chaos.system.lab import lab_status

    services = lab_status(memory=memory)
    table = Table(box=None, pad_edge=False)
    for heading in ("service", "state", "health", "restarts", "ports", "image"):
        table.add_column(heading, overflow="fold")
    if memory:
        table.add_column("MiB", justify="right")
    for one in services:
        image = one.image if one.current or not one.image else f"{one.image} (not the clone's)"
        row = [one.service, one.state, one.health or "-", str(one.restarts), " ".join(one.ports)]
        table.add_row(*row, image, *([str(one.memory_bytes // _MEBI)] if memory else []))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200).print(table)
    if bugs := sorted({name for one in services for name in one.bugs}):
        click.echo(f"bugs on purpose (LAB_BUGS): {', '.join(bugs)}")
    is_up = all(one.state == "running" and one.health in {"", "healthy"} for one in services)
    return 0 if services and is_up else _INCONCLUSIVE


@lab.command("logs", short_help="What its services say.")
@click.argument("service", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--tail", default=100, show_default=True, help="Lines per service to begin with.")
def logs(service: str | None, *, follow: bool, tail: int) -> int:
    """
    Show the logs of the reference pipeline, or of one SERVICE.

    \b
    Example:
      k2chaos lab logs consumer-crypto --follow
    """  # noqa: D301
    from k2chaos.system.lab import lab_logs

    return 0 if lab_logs(service, follow=follow, tail=tail) == 0 else EXIT_CRASH
