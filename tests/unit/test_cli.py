"""The command line: help worth reading, errors without tracebacks, exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from k2chaos.cli import cli
from k2chaos.errors import UsageError
from k2chaos.evidence.state import Holder, PipelineLock, state_directory
from k2chaos.last_line import exit_code_of

K2CHAOS = [sys.executable, "-m", "k2chaos.cli"]


def commands(group: click.Group, path: str = "k2chaos") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def k2chaos(*words: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    code = "import sys; from k2chaos.cli import main; sys.argv[0] = 'k2chaos'; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env={**os.environ, "XDG_STATE_HOME": str(folder / "state"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("path", [path for path, _ in commands(cli)])
def test_every_command_has_a_help_with_an_example(path: str, tmp_path: Path) -> None:
    result = k2chaos(*path.split()[1:], "--help", folder=tmp_path)

    assert result.returncode == 0, result.stderr
    assert "Example" in result.stdout
    assert path.replace("k2chaos run", "chaos run") in result.stdout


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'pydantic', 'chaoslib', 'docker', 'pyarrow', 'httpx', 'rich', 'yaml'}"
    code = (
        "import sys; from k2chaos.cli import cli; cli.main(['--help'], standalone_mode=False); "
        f"assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_the_plugin_imports_nothing_heavy_into_chaos() -> None:
    code = (
        "import sys; import chaostoolkit.cli; "
        "ours = {name for name in sys.modules if name.startswith('k2chaos')}; "
        "assert ours == {'k2chaos', 'k2chaos.plugin'}, ours"
    )

    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_the_plugin_keeps_all_of_upstreams_options() -> None:
    code = (
        "from chaostoolkit.commands.run import run; from k2chaos.plugin import register; "
        "assert {one.name for one in run.params} == {one.name for one in register.params}; "
        "assert register.name == run.name"
    )

    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_an_unknown_command_is_a_usage_error(tmp_path: Path) -> None:
    result = k2chaos("bogus", folder=tmp_path)

    assert result.returncode == 2
    assert "No such command" in result.stderr


def test_a_mistake_is_told_without_traceback(tmp_path: Path) -> None:
    result = k2chaos("plan", "absent.json", folder=tmp_path)

    assert result.returncode == 2
    assert "there is no such file" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_engine_that_is_down_is_a_usage_error(tmp_path: Path) -> None:
    result = k2chaos("plan", "absent.json", folder=tmp_path, DOCKER_HOST="unix:///nowhere.sock")

    assert result.returncode == 2
    assert "no container engine answers at unix:///nowhere.sock" in result.stderr


def test_lint_tells_all_mistakes_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"title": "t", "description": "d", "methd": []}')
    (tmp_path / "b.yaml").write_text("title: t\ndescription: d\nmethod: []\n")
    (tmp_path / "c.json").write_text('{"title": "t", "title": "u"}')
    (tmp_path / "e.json").write_text("")
    (tmp_path / "f.json").write_text('{"title": "NaN \\" NaN",\n "x": [1, -Infinity, 1e400]}')
    files = ("a.json", "b.yaml", "c.json", "d.txt", "e.json", "f.json", ".")

    result = k2chaos("lint", *files, folder=tmp_path)

    assert result.returncode == 2
    assert "methd: unknown key; did you mean method?" in result.stdout
    assert "b.yaml: ok by itself; there is no pipelines/lab.yaml here" in result.stdout
    assert 'the key "title" stands twice' in result.stdout
    assert "line 2, column 11: -Infinity is not a number that JSON knows" in result.stdout
    assert "line 2, column 22: 1e400 is too large for a number" in result.stdout
    assert "NaN" not in result.stdout
    assert "ends in .json, .yaml or .yml" in result.stdout
    assert "it is empty" in result.stdout
    assert "it is a directory" in result.stdout


def test_lint_of_good_files_exits_with_zero(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("title: t\ndescription: d\nmethod: []\n")

    assert k2chaos("lint", "b.yaml", folder=tmp_path).returncode == 0


def test_lint_needs_none_of_the_pipelines_variables(tmp_path: Path) -> None:
    lab = Path(__file__).parents[2] / "pipelines" / "lab.yaml"
    (tmp_path / "b.yaml").write_text("title: t\ndescription: d\nmethod: []\n")
    (tmp_path / "lab.yaml").write_text(lab.read_text())

    result = k2chaos("--pipeline", "lab.yaml", "lint", "b.yaml", folder=tmp_path)

    assert result.returncode == 0, result.stdout


def test_lint_tells_the_mistakes_of_the_pipeline_file(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("title: t\ndescription: d\nmethod: []\n")
    (tmp_path / "lab.yaml").write_text("nam: x\n")

    result = k2chaos("--pipeline", "lab.yaml", "lint", "b.yaml", folder=tmp_path)

    assert result.returncode == 2
    assert "nam: unknown key" in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--pipeline", "no.yaml", "lint", "b.yaml"),
        ("lint", "b.yaml", "--pipeline", "no.yaml"),
        ("--pipeline", "lab.yaml", "lint", "--pipeline", "no.yaml", "b.yaml"),
        ("audit", "--pipeline", "no.yaml"),
        ("stop", "--pipeline", "no.yaml"),
        ("validate-pipeline", "--pipeline", "no.yaml"),
    ],
    ids=" ".join,
)
def test_the_pipeline_file_may_be_named_before_or_after_the_command(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "b.yaml").write_text("title: t\ndescription: d\nmethod: []\n")

    result = k2chaos(*words, folder=tmp_path)

    assert 2 == result.returncode
    assert "no pipeline file at no.yaml" in result.stdout + result.stderr


@pytest.mark.parametrize("command", ["heal", "status", "stop"])
def test_a_ledger_line_that_nobody_can_read_is_told_with_its_place(
    command: str, tmp_path: Path
) -> None:
    faults = tmp_path / "state" / "k2chaos" / "faults"
    faults.mkdir(parents=True)
    (faults / "run-1.jsonl").write_text("rubbish\n")

    result = k2chaos(command, folder=tmp_path)

    assert 3 == result.returncode
    assert f"unreadable: {faults}/run-1.jsonl:1: " in result.stdout
    assert (faults / "run-1.jsonl").exists()


def test_status_as_json_says_what_it_could_not_see(tmp_path: Path) -> None:
    result = k2chaos("status", "--json", folder=tmp_path, DOCKER_HOST="unix:///nowhere.sock")

    seen = json.loads(result.stdout)
    assert ([], [], [], None) == tuple(
        seen[name] for name in ("runs", "open", "unreadable", "engine_locks")
    )
    assert "no container engine answers" in seen["engine_trouble"]
    assert 0 == result.returncode


def test_status_and_heal_with_nothing_open(tmp_path: Path) -> None:
    assert k2chaos("status", folder=tmp_path).returncode == 0
    assert k2chaos("heal", folder=tmp_path).returncode == 0
    assert k2chaos("heal", "no-such-id", folder=tmp_path).returncode == 2


def test_an_unexpected_error_exits_with_four_and_its_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def crash() -> int:
        message = "what nobody thought of"
        raise ZeroDivisionError(message)

    assert exit_code_of(crash) == 4
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "ZeroDivisionError: what nobody thought of" in told


def test_an_error_of_the_users_exits_with_its_code_and_no_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse() -> int:
        message = "that is no role"
        raise UsageError(message)

    assert exit_code_of(refuse) == 2
    assert capsys.readouterr().err == "k2chaos: that is no role\n"


@pytest.mark.parametrize("command", ["up", "down"])
def test_the_lab_is_neither_started_nor_stopped_under_a_run(command: str, tmp_path: Path) -> None:
    directory = state_directory({"XDG_STATE_HOME": str(tmp_path / "state")})

    with PipelineLock(directory, "k2-lab").held_by(Holder("run-1", 42, "now", "")):
        result = k2chaos("lab", command, folder=tmp_path)

    assert 2 == result.returncode
    assert "run run-1 (process 42) is using the lab" in result.stderr


def test_a_ledger_line_that_nobody_can_read_is_told_by_whatever_is_done_next(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    ledger = state_directory({"XDG_STATE_HOME": str(state)}) / "faults" / "run-1.jsonl"
    ledger.write_text("half a line\n")

    result = k2chaos("judge", "none", folder=tmp_path, XDG_STATE_HOME=str(state))

    assert "run-1.jsonl:1: it is not JSON" in result.stderr
    assert "undo it by hand, remove it" in result.stderr
