"""The commands that look at data and break nothing: is it whole now, and was it."""

import contextlib
import os
import sys

import click

from k2chaos.cli_options import takes_pipeline


@click.command("validate-pipeline", short_help="Is the pipeline whole? Breaks nothing.")
@click.option("--seconds", default=15.0, show_default=True, help="How long records are counted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of the lines.")
@takes_pipeline
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


@click.command(short_help="Is every record of the last minutes or hours at every stage? No fault.")
@click.option("--since", default="15m", show_default=True, help="From when: 90s, 6h, 2d, or ISO.")
@click.option("--until", help="Up to when; by default now.")
@click.option("--json", "as_json", is_flag=True, help="Print verdict.json instead of the lines.")
@takes_pipeline
def audit(pipeline: str | None, *, since: str, until: str | None, as_json: bool) -> int:
    """
    Look for every record of a window of time at every stage; breaks nothing.

    What is lost, comes twice, differs, was never emitted, or lies in the dead-letter topic is
    named record by record. The evidence goes into a folder under journals/. Exit code 0 pass, 1
    fail (a stage that refuses or hangs is one), 3 inconclusive (we could not look, or too little
    flowed), 2 for a mistake.

    \b
    Example:
      k2chaos audit --since 20m
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
