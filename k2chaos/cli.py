"""
The command ``k2chaos``.

Each command is a thin shell around a function elsewhere; what they need is imported when they
run, so that ``--help`` answers at once. What ends a command unexpectedly is told in `last_line`.
"""

import contextlib
import os
import sys
from typing import Final

import click

from k2chaos.cli_faults import heal, status, stop
from k2chaos.cli_judge import judge
from k2chaos.cli_lab import lab
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
    """Run the command; the console script."""
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
@click.pass_obj
def lint(pipeline: str | None, files: tuple[str, ...]) -> int:
    """
    Check experiment FILES without touching anything.

    Finds what Chaos Toolkit's own validation lets pass: misspelt keys, unknown roles and stages,
    arguments of the wrong type, undefined ${variables}, faults longer than the pipeline allows.
    Prints every mistake with its place. Exit code 2 if there is any, else 0.

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


@cli.command(short_help="What an experiment would do to which containers; touches nothing.")
@click.argument("file", metavar="FILE")
@click.pass_obj
def plan(pipeline: str | None, file: str) -> int:
    """
    Say what an experiment FILE would do to which containers; touches nothing.

    Resolves every fault of the method to containers on the engine, with the limits of the
    pipeline file. Exit code 0 if all of it could be done now, 3 if not, 2 for a mistake.

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
    this host can do it. Without an engine the last is not known.

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
@click.pass_obj
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


@cli.command("validate-pipeline", short_help="Is the pipeline whole? Breaks nothing.")
@click.option("--seconds", default=15.0, show_default=True, help="How long records are counted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of the lines.")
@click.pass_obj
def validate_pipeline(pipeline: str | None, *, seconds: float, as_json: bool) -> int:
    """
    Look at the critical path of the pipeline, for the minutes after a deployment; breaks nothing.

    Services, freshness of every stage, what flows, and every record of a short window at every
    stage. Takes less than a minute and a half. Exit code 0 when all passed, 1 when one failed, 3
    when something could not be seen, 2 when the pipeline file has mistakes.

    \b
    Example:
      k2chaos --pipeline pipelines/lab.yaml validate-pipeline
    """  # noqa: D301
    from k2chaos.clock import SystemClock
    from k2chaos.pipeline_file import find_pipeline_file, load_pipeline
    from k2chaos.sweeping import sweep_abandoned
    from k2chaos.system.engine import connect
    from k2chaos.system.stages import open_stages
    from k2chaos.validation import Check, Validation, exit_code, print_check, print_json

    sweep_abandoned()
    file = load_pipeline(find_pipeline_file(pipeline, os.environ, None))
    clock = SystemClock()
    stages = open_stages(file.pipeline)
    checks: list[Check] = []
    with contextlib.closing(stages):
        for check in Validation(file.pipeline, stages, connect, clock, seconds).checks():
            checks.append(check)
            if not as_json:
                print_check(check, sys.stdout)
    if as_json:
        print_json(file.pipeline, checks, sys.stdout)
    return exit_code(checks)


@cli.command(short_help="Is every record of the last minutes or hours at every stage? No fault.")
@click.option("--since", default="15m", show_default=True, help="From when: 90s, 6h, 2d, or ISO.")
@click.option("--until", help="Up to when; by default now.")
@click.option("--json", "as_json", is_flag=True, help="Print verdict.json instead of the lines.")
@click.pass_obj
def audit(pipeline: str | None, *, since: str, until: str | None, as_json: bool) -> int:
    """
    Look for every record of a window of time at every stage; breaks nothing.

    What is lost, comes twice, differs, was never emitted, or lies in the dead-letter topic is
    named record by record. The evidence goes into a folder under journals/. Exit code 0 pass, 1
    fail, 3 when a stage could not be read, 2 for a mistake.

    \b
    Example:
      k2chaos audit --since 2h
    """  # noqa: D301
    import json

    from k2chaos.auditing import audit_pipeline, print_audit, read_span
    from k2chaos.clock import SystemClock
    from k2chaos.launch.outcome import EXIT_CODES
    from k2chaos.pipeline_file import find_pipeline_file, load_pipeline
    from k2chaos.sweeping import sweep_abandoned

    clock = SystemClock()
    span = read_span(since, until, clock.now())
    sweep_abandoned()
    file = load_pipeline(find_pipeline_file(pipeline, os.environ, None))
    folder, document = audit_pipeline(file, span, clock)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        print_audit(folder, document)
    return EXIT_CODES[document["verdict"]]


for command in (judge, heal, stop, status, lab):
    cli.add_command(command)
