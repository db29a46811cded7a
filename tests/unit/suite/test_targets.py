"""The suite's targets and its place in pytest's configuration."""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PYTEST = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]


def test_the_help_shows_every_target_that_has_a_text() -> None:
    told = re.findall(r"^([a-z0-9-]+):.*## (.+)$", MAKEFILE, re.MULTILINE)
    assert len(told) == len(re.findall(r"^[^\s#]+:.*##", MAKEFILE, re.MULTILINE))

    command = ["make", "-C", str(ROOT), "--no-print-directory", "help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)

    shown = [line.strip().removeprefix("make ") for line in done.stdout.splitlines()]
    assert [name for name, _ in told] == [line.split()[0] for line in shown]
    assert {"test-e2e", "test-e2e-pipeline"} <= {name for name, _ in told}
    # One column: every text begins at the same place.
    assert 1 == len({line.index(text) for line, (_, text) in zip(shown, told, strict=True)})


def test_every_target_is_phony() -> None:
    phony = set(" ".join(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)).split())

    assert set(re.findall(r"^([a-z0-9-]+):.*##", MAKEFILE, re.MULTILINE)) <= phony


def test_the_files_that_targets_name_are_there() -> None:
    named = re.findall(r"\b(?:tests|tools|benchmarks)/[\w/]+(?:\.py)?", MAKEFILE)

    assert "tests/e2e/test_docker_stack.py" in named
    assert [] == [name for name in named if not (ROOT / name).exists()]


def test_a_plain_run_leaves_the_suite_out_and_its_marks_are_known() -> None:
    options = PYTEST["ini_options"]

    assert [] == [path for path in options["testpaths"] if "tests/e2e".startswith(path)]
    marks = {re.split(r"[(:]", one)[0] for one in options["markers"]}
    assert {"e2e", "slow", "scenario", "covers"} <= marks
