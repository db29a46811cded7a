"""The commands; exit codes as everywhere here: 0 well, 1 not, 2 usage or nothing to work on."""

import sys

import click

from tools.e2e.changed import changed
from tools.e2e.criteria_page import criteria
from tools.e2e.pages import pages
from tools.e2e.report import report
from tools.e2e.soak import soak
from tools.e2e.soaked import soak_report


@click.group()
def cli() -> None:
    """Tools for the end-to-end suite."""


for command in (changed, criteria, pages, report, soak, soak_report):
    cli.add_command(command)


def main() -> int:
    """Run one command."""
    try:
        result = cli.main(prog_name="python -m tools.e2e", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except click.Abort:
        return 130
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
