"""The command that judges stored runs again: ``k2chaos judge``."""

import sys
from pathlib import Path

import click


@click.command(short_help="Judge stored runs again, offline; exit by verdict.")
@click.argument("runs", nargs=-1, required=True, metavar="RUNS...")
@click.option(
    "--write",
    is_flag=True,
    help="Store verdicts that are missing, or that differ over whole evidence.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of the table.")
def judge(runs: tuple[str, ...], *, write: bool, as_json: bool) -> int:
    """
    Judge stored RUNS (folders under ``journals/``) again, and say whether it comes out the same.

    Works on any machine from the folders alone: no engine, no pipeline, no network. The same
    evidence gives the same verdict.json, byte for byte; one that differs was written by another
    version, or something in the folder has changed since. Nothing is written without --write. Exit
    code by verdict: 0 pass, 1 fail, 3 inconclusive, 2 for what is no run folder; over several runs
    the first present of 1, 4, 2, 3, 0.

    \b
    Example:
      k2chaos judge journals/20*/
    """  # noqa: D301
    from k2chaos.launch.outcome import exit_code
    from k2chaos.launch.rejudging import print_json, print_table, rejudge, write_verdicts
    from k2chaos.sweeping import sweep_abandoned

    sweep_abandoned()
    folders = [Path(run) for run in runs]
    judged = [rejudge(folder) for folder in folders]
    if write:
        write_verdicts(folders, judged)
    if as_json:
        print_json(judged, sys.stdout)
    else:
        print_table(judged, sys.stdout, written=write)
    return exit_code([run.outcome for run in judged])
