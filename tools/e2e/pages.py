"""The pages that are made from the suite: written by `make docs`, compared by `make check`."""

import sys
from pathlib import Path

import click

from tests.e2e.paths import PATHS
from tools.e2e import coverage, criteria_page
from tools.e2e.collecting import CollectionError, collect
from tools.e2e.coverage import Coverage
from tools.e2e.criteria import read_criteria, unknown_tests
from tools.e2e.snapshot import load


def write(file: Path, text: str, *, check: bool) -> list[str]:
    """Write *text* to *file*, or tell that it is not what *file* holds."""
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return []
    if check:
        return [f"{file} is not what the suite says: run `make docs`"]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return []


@click.command("pages", short_help="Write the pages made from the suite; --check compares.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 where something is wrong.")
def pages(check: bool) -> int:  # noqa: FBT001 - a flag of the command
    """
    Write the pages of covered paths, from the marks of the tests, and of success criteria, from
    the committed snapshot.
    """
    wanted = read_criteria()
    try:
        found = Coverage(PATHS, collect())
    except CollectionError as error:
        click.echo(error, err=True)
        return 1
    wrong = [*found.mistakes(), *unknown_tests(wanted, [one.test for one in found.tests])]
    wrong += write(coverage.PAGE, coverage.page(found), check=check)
    wrong += write(criteria_page.PAGE, criteria_page.page(wanted, load()), check=check)
    for one in wrong:
        sys.stderr.write(f"{one}\n")
    return int(bool(wrong))
