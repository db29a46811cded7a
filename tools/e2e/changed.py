"""
Run the end-to-end tests that a change needs: the work tree and the commits since a base.

What was changed is git's to say, what that can break is `changes.toml`'s, and which tests see it
their marks'. Where one of these cannot be known, all tests are run, and it is said why.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from tools.e2e.collecting import CollectionError, collect
from tools.e2e.selection import Selection, read_rules, select

SUITE: Final = ("tests/e2e", "-m", "e2e and not scenario")


class GitError(Exception):
    """Git could not say what was changed; the message is its own."""


def changed_files(base: str, folder: Path = Path()) -> tuple[str, list[str]]:
    """
    The commit that is compared with, and the files that differ: committed since, or not yet.

    Compared with is where *base* was left; on *base* itself, the commit before the last.

    Raises:
        GitError: No repository, or no such base.
    """
    since = _git(folder, "merge-base", base, "HEAD").strip()
    if since == _git(folder, "rev-parse", "HEAD").strip():
        since = _git(folder, "rev-parse", "HEAD~1").strip()
    changed = _git(folder, "diff", "--name-only", "--no-renames", "-z", since)
    untracked = _git(folder, "ls-files", "--others", "--exclude-standard", "-z")
    return since, sorted({name for name in (changed + untracked).split("\0") if name})


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        raise GitError(str(error)) from error
    if done.returncode != 0:
        raise GitError(done.stderr.strip())
    return done.stdout


def needed(base: str) -> Selection:
    """What has to be run for the changes since *base*."""
    try:
        since, files = changed_files(base)
    except GitError as error:
        return Selection(is_all=True, reasons=[f"git does not say what changed ({error}): all"])
    click.echo(f"{len(files)} files changed since {since[:9]}")
    try:
        return select(files, read_rules(), collect())
    except CollectionError as error:
        return Selection(is_all=True, reasons=[f"{error}\nthe tests cannot be collected: all"])


def arguments(selection: Selection) -> Sequence[str]:
    """What pytest has to be told; nothing where nothing has to be run."""
    return SUITE if selection.is_all else selection.tests


@click.command("changed", short_help="Run the tests that the changes since a base need.")
@click.option("--base", default="main", show_default=True, help="Branch or commit.")
@click.option("--list", "only_list", is_flag=True, help="Print what would be run; run nothing.")
def changed(base: str, only_list: bool) -> int:  # noqa: FBT001 - a flag of the command
    """Run the tests that the changes need, in doubt all of them. Exit code 0: none is needed."""
    found = needed(base)
    for reason in found.reasons:
        click.echo(f"  {reason}")
    if found.unseen:
        click.echo(f"  {found.unseen} files: nothing that the suite could see")
    words = arguments(found)
    if not words:
        click.echo("nothing to run: no change that the end-to-end tests could see")
        return 0
    click.echo("all tests of the core suite" if found.is_all else f"{len(words)} tests:")
    if not found.is_all:
        click.echo("\n".join(f"  {one}" for one in words))
    if not only_list:
        sys.stdout.flush()
        # Replaced by it: Ctrl-C is pytest's alone from here on.
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *words])  # noqa: S606
    return 0
