"""What was changed, in repositories of their own, and what is then run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.e2e.changed import GitError, arguments, changed_files
from tools.e2e.selection import Selection

ROOT = Path(__file__).parents[3]


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=n", "-c", "user.email=e@x")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)


def commit(folder: Path, **files: str) -> None:
    write(folder, **files)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "m")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "-qb", "main")
    commit(folder, a="1", b="1", gone="1")
    commit(folder, b="2")
    return folder


def test_on_a_branch_all_since_it_left_counts_committed_or_not(clone: Path) -> None:
    git(clone, "checkout", "-qb", "branch")
    commit(clone, committed="1")
    git(clone, "checkout", "-q", "main")
    commit(clone, c="of main alone")
    git(clone, "checkout", "-q", "branch")
    git(clone, "mv", "gone", "moved")
    write(clone, a="changed", untracked="1")

    files = changed_files("main", clone)[1]

    assert ["a", "committed", "gone", "moved", "untracked"] == files


def test_on_the_base_itself_the_last_commit_counts(clone: Path) -> None:
    write(clone, a="changed")

    assert ["a", "b"] == changed_files("main", clone)[1]


def test_names_are_taken_as_they_are(clone: Path) -> None:
    write(clone, **{"ü b\n": "1"})

    assert "ü b\n" in changed_files("main", clone)[1]


def test_no_repository_and_no_base_are_said(clone: Path, tmp_path: Path) -> None:
    with pytest.raises(GitError, match="no-such"):
        changed_files("no-such", clone)
    with pytest.raises(GitError, match="not a git repository"):
        changed_files("main", tmp_path)


def test_all_tests_are_the_core_suite_and_none_are_nothing() -> None:
    assert "e2e and not scenario" in arguments(Selection(is_all=True, tests=["a"]))
    assert ["a"] == arguments(Selection(tests=["a"]))
    assert [] == arguments(Selection())


def run(clone: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.e2e", "changed", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=clone, env=environment, capture_output=True, text=True, check=False
    )


def test_the_changed_tests_are_run_or_only_listed_and_documents_need_none(clone: Path) -> None:
    (clone / "tests" / "e2e").mkdir(parents=True)
    commit(clone, **{"tests/e2e/test_same.py": "def test_same():\n    assert False\n"})
    git(clone, "checkout", "-qb", "branch")
    commit(clone, **{"README.md": "more"})

    documents = run(clone)
    assert (0, True) == (documents.returncode, "nothing to run" in documents.stdout)

    write(clone, **{"tests/e2e/test_new.py": "def test_new():\n    assert 1 == 2\n"})
    listed, ran = run(clone, "--list"), run(clone)
    assert (0, 1) == (listed.returncode, ran.returncode)
    assert "tests/e2e/test_new.py::test_new" in listed.stdout
    assert "assert 1 == 2" not in listed.stdout
    assert "1 failed" in ran.stdout


def test_without_git_to_ask_all_tests_are_run_and_it_is_said_why(clone: Path) -> None:
    said = run(clone, "--list", "--base", "no-such").stdout

    assert "git does not say what changed" in said
    assert "all tests of the core suite" in said
