"""
The command ``k2chaos``.

Each command is a thin shell around a function elsewhere; what they need is imported when they
run, so that ``--help`` answers at once. What ends a command unexpectedly is told in `last_line`.
"""

import io
import sys
from typing import Final

import click

from k2chaos.cli_data import audit, validate_pipeline
from k2chaos.cli_faults import heal, status, stop
from k2chaos.cli_judge import judge
from k2chaos.cli_lab import lab
from k2chaos.cli_options import takes_pipeline
from k2chaos.last_line import exit_code_of

EXIT_INCONCLUSIVE: Final = 3

HELP: Final = """
Chaos engineering for streaming data pipelines: break one on purpose, put it back, and prove what
happened to every record.

\b
First steps, in a clone:
  k2chaos lab up                            start the reference pipeline
  k2chaos doctor                            is everything there that a run needs?
  k2chaos plan experiments/sink-kill.json   what would be broken, and what undone
  k2chaos run experiments/sink-kill.json    break it; the verdict is the exit code

The pipeline file is the one named by --pipeline, else by $K2CHAOS_PIPELINE, else by the
experiment's configuration (`pipeline`), else pipelines/lab.yaml.

\b
Exit codes: 0 pass, 1 fail, 2 usage, 3 inconclusive, 4 the tool crashed.
"""


def main() -> None:
    """Run the command; the console script. What the output's encoding cannot say is escaped."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(exit_code_of(_main))


def _main() -> int:
    try:
        result = cli.main(prog_name="k2chaos", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        sys.stderr.write("k2chaos: interrupted\n")
        return EXIT_INCONCLUSIVE
    return result if isinstance(result, int) else 0


@click.group(help=HELP)
@click.option(
    "--pipeline",
    metavar="FILE",
    help="The pipeline file: the system that experiments are pointed at.",
)
@click.version_option(package_name="chaostoolkit-k2chaos", prog_name="k2chaos")
@click.pass_context
def cli(context: click.Context, pipeline: str | None) -> None:
    """See `HELP`."""
    context.obj = pipeline


@cli.command(
    "run",
    context_settings={"ignore_unknown_options": True},
    add_help_option=False,
    short_help="Run experiments; exit by verdict.",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(context: click.Context, words: tuple[str, ...]) -> int:
    """Hand over to the command of the Chaos Toolkit plug-in, which takes upstream's options."""
    from k2chaos.plugin import run_command

    option = click.Option(
        ["--pipeline"],
        metavar="FILE",
        default=context.obj,
        help="The pipeline file; wins over $K2CHAOS_PIPELINE and the experiment's own.",
    )
    command = run_command((option,))
    with command.make_context("run", list(words), parent=context.parent) as inner:
        return int(command.invoke(inner) or 0)


@cli.command(short_help="Check experiment files; touches nothing.")
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
@takes_pipeline
def lint(pipeline: str | None, files: tuple[str, ...]) -> int:
    """
    Check experiment FILES; nothing is run.

    Finds what Chaos Toolkit's own validation lets pass: misspelt keys, unknown roles and stages,
    arguments of the wrong type, undefined ${variables}, faults longer than the pipeline allows.
    Prints every mistake with its place. Exit code 2 if there is any, else 0. Of a file without
    mistakes it says why no run of it can pass, where that is certain: no fault in its method, no
    hypothesis, a role or a stage that this pipeline does not have.

    \b
    Example:
      k2chaos lint experiments/*.json
    """  # noqa: D301 - \b is click's mark for lines to be left as they are
    from k2chaos.lint.files import lint_files
    from k2chaos.sweeping import sweep_abandoned

    sweep_abandoned()
    report = lint_files(files, pipeline)
    for line in report.lines:
        click.echo(line)
    return 2 if report.has_mistakes else 0


@cli.command(short_help="What an experiment would do to which containers; injects nothing.")
@click.argument("file", metavar="FILE")
@takes_pipeline
def plan(pipeline: str | None, file: str) -> int:
    """
    Say what an experiment FILE would do to which containers; injects nothing.

    Resolves every fault of the method to containers on the engine, with the limits of the
    pipeline file. Whether the host can do a fault of packets is tried in a helper container. Exit
    code 0 if all of it could be done now, 3 if not, 2 for a mistake.

    \b
    Example:
      k2chaos plan experiments/broker-restart.json
    """  # noqa: D301
    from k2chaos.planning import plan_experiment, print_plan
    from k2chaos.sweeping import sweep_abandoned
    from k2chaos.system.engine import connect

    sweep_abandoned()
    resolved = plan_experiment(file, pipeline, connect())
    print_plan(resolved, sys.stdout)
    return 0 if resolved.can_run else EXIT_INCONCLUSIVE


@cli.command(short_help="Every fault there is, and whether this host can do it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of the table.")
def faults(*, as_json: bool) -> int:
    """
    List every fault and injection: what it does, what witnesses it, what undoes it, and whether
    this host can do it: that is tried in a helper container, away from everything. Without an
    engine it is not known.

    \b
    Example:
      k2chaos faults --json
    """  # noqa: D301
    from k2chaos.errors import EngineUnreachable
    from k2chaos.listing import listed, print_json, print_listing
    from k2chaos.sweeping import sweep_abandoned
    from k2chaos.system.engine import connect
    from k2chaos.system.faults.needs import ABILITIES

    sweep_abandoned()
    try:
        abilities = connect().abilities(ABILITIES)
    except EngineUnreachable as error:
        click.echo(f"k2chaos: {error}", err=True)
        abilities = None
    (print_json if as_json else print_listing)(listed(abilities), sys.stdout)
    return 0


@cli.command(short_help="Is everything there that a run needs?")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of the table.")
@takes_pipeline
def doctor(pipeline: str | None, *, as_json: bool) -> int:
    """
    Say whether this host, this engine and this pipeline have what a run needs.

    Every line that is not ok says what to do. Exit code 0 when all that is needed is there, 3
    when something is missing or could not be seen, 2 when the pipeline file has mistakes.

    \b
    Example:
      k2chaos doctor --json
    """  # noqa: D301
    from k2chaos.doctor import diagnose, exit_code
    from k2chaos.doctor.table import print_checks, print_json
    from k2chaos.sweeping import sweep_abandoned

    sweep_abandoned()
    checks = diagnose(pipeline)
    (print_json if as_json else print_checks)(checks, sys.stdout)
    return exit_code(checks)


for command in (validate_pipeline, audit, judge, heal, stop, status, lab):
    cli.add_command(command)
