"""The real ``chaos`` command with our plug-in, as a subprocess, without a container engine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STAND_IN = Path(__file__).parent / "stand_in"
ROOT = Path(__file__).parents[2]
PIPELINE = ROOT / "pipelines" / "lab.yaml"
CHAOS = [sys.executable, "-m", "chaostoolkit", "--no-version-check"]
QUIET = ("--no-version-check", "--no-log-file")
SECRETS = {"LAB_S3_KEY": "key", "LAB_S3_SECRET": "s3cr3t-value", "K2_API_KEY": "api"}
CONTROL = {"name": "k2chaos", "provider": {"type": "python", "module": "k2chaos.controls"}}


class Desk:
    """A working directory, experiments in it, and the ``chaos`` command run there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            **SECRETS,
            "PYTHONPATH": f"{STAND_IN}{os.pathsep}{ROOT}",
            "K2CHAOS_PIPELINE": str(PIPELINE),
            "XDG_STATE_HOME": str(folder / "state"),
            "HOME": str(folder),
        }

    def ours(self, name: str, method: list[Any] | None = None, **configuration: Any) -> str:
        """An experiment that uses k2chaos; the stand-in control obeys its configuration."""
        told = {"folder": str(self.run_folder(name)), **configuration}
        return self.write(name, method or [], controls=[CONTROL], configuration=told)

    def upstreams(self, name: str, *, holds: bool = True) -> str:
        """An experiment that does not use k2chaos, and whose hypothesis holds or does not."""
        probe = {
            "type": "probe",
            "name": "constant",
            "tolerance": "x" if holds else "y",
            "provider": python("textwrap", "dedent", text="x"),
        }
        hypothesis = {"title": "a constant", "probes": [probe]}
        return self.write(name, [], **{"steady-state-hypothesis": hypothesis})

    def write(self, name: str, method: list[Any], **parts: Any) -> str:
        tree = {"title": f"claim of {name}", "description": "d", "method": method, **parts}
        (self.folder / f"{name}.json").write_text(json.dumps(tree), encoding="utf-8")
        return f"{name}.json"

    def run_folder(self, name: str) -> Path:
        return self.folder / "journals" / name

    def began(self, name: str) -> bool:
        return (self.run_folder(name) / "began.json").exists()

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*CHAOS, *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def chaos(self, *words: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*words)
        output, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess([*words], process.returncode, output, errors)


def python(module: str, function: str, **arguments: Any) -> dict[str, Any]:
    """A Python provider."""
    return {"type": "python", "module": module, "func": function, "arguments": arguments}


def nap(seconds: float) -> list[dict[str, Any]]:
    """A method that takes that long."""
    provider = {
        "type": "process",
        "path": sys.executable,
        "arguments": ["-c", f"import time; time.sleep({seconds})"],
    }
    return [{"type": "action", "name": "nap", "provider": provider}]


def until(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    """Wait for *condition*."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize("word,code", [("pass", 0), ("fail", 1), ("inconclusive", 3)])
def test_one_file_exits_by_its_verdict(desk: Desk, word: str, code: int) -> None:
    result = desk.chaos("run", desk.ours("one", verdict=word))

    assert result.returncode == code, result.stderr
    assert word in result.stdout
    assert f"  {desk.run_folder('one').relative_to(desk.folder)}\n" in result.stdout


def test_several_files_run_one_after_the_other_and_end_in_one_table(desk: Desk) -> None:
    result = desk.chaos(
        "run",
        desk.ours("first", verdict="pass"),
        desk.ours("second", verdict="fail"),
        desk.ours("third", verdict="inconclusive"),
    )

    assert result.returncode == 1, result.stderr
    rows = [line.split() for line in result.stdout.splitlines() if line[:1].isalpha()]
    table = {row[0]: row[1:4] for row in rows if row[0] in {"first", "second", "third"}}
    assert table == {
        "first": ["pass", "3", "1"],
        "second": ["fail", "3", "1"],
        "third": ["inconclusive", "3", "1"],
    }
    assert "  told: as it was told" in result.stdout
    assert "the claim as the verdict tells it" in result.stdout


def test_no_verdict_is_inconclusive_though_upstream_exits_with_zero(desk: Desk) -> None:
    result = desk.chaos("run", desk.ours("silent"))

    assert result.returncode == 3, result.stderr
    assert "no-verdict" in result.stdout


def test_no_report_is_inconclusive(desk: Desk) -> None:
    result = desk.chaos("run", desk.ours("mute", reports=False, verdict="pass"))

    assert result.returncode == 3, result.stderr


def test_a_child_that_crashes_exits_with_four(desk: Desk) -> None:
    probe = {
        "type": "probe",
        "name": "nothing",
        "tolerance": {"type": "range", "range": [0, 1]},
        "provider": python("gc", "enable"),
    }
    source = desk.write(
        "crash",
        [],
        controls=[CONTROL],
        configuration={"folder": str(desk.run_folder("crash"))},
        **{"steady-state-hypothesis": {"title": "h", "probes": [probe]}},
    )

    result = desk.chaos("run", source)

    assert result.returncode == 4, result.stderr
    assert "Traceback" in result.stderr


def test_a_usage_error_of_the_control_exits_with_two(desk: Desk) -> None:
    result = desk.chaos("run", desk.ours("refused", usage_error="the engine is down"))

    assert result.returncode == 2, result.stderr
    assert "the engine is down" in result.stdout


def test_a_mistake_in_the_second_file_keeps_the_first_from_running(desk: Desk) -> None:
    good = desk.ours("good", verdict="pass")
    bad = desk.write("bad", [{"type": "action", "nam": "x"}], controls=[CONTROL])
    (desk.folder / "worse.json").write_text('{"title": "x",}', encoding="utf-8")

    result = desk.chaos("run", good, bad, "worse.json", "absent.json")

    assert result.returncode == 2
    assert not desk.began("good")
    for mistake in (
        "method[0].nam: unknown key; did you mean name?",
        "worse.json has 1 mistake",
        "line 1, column ",
        "there is no such file",
    ):
        assert mistake in result.stderr
    assert "Traceback" not in result.stderr


def test_a_pipeline_file_that_does_not_parse_is_told_before_anything_runs(desk: Desk) -> None:
    desk.environment["K2CHAOS_PIPELINE"] = str(desk.folder / "broken.yaml")
    (desk.folder / "broken.yaml").write_text("schema: 2\nnam: x\n", encoding="utf-8")

    result = desk.chaos("run", desk.ours("one", verdict="pass"))

    assert result.returncode == 2
    assert "nam: unknown key" in result.stderr
    assert not desk.began("one")


@pytest.mark.parametrize("holds,code", [(True, 0), (False, 0)])
def test_one_file_of_upstreams_keeps_upstreams_exit_code_and_journal(
    desk: Desk, *, holds: bool, code: int
) -> None:
    """Upstream exits 0 even when the baseline was not met: it is upstream's file."""
    result = desk.chaos("run", desk.upstreams("theirs", holds=holds))

    assert result.returncode == code
    assert (desk.folder / "journal.json").exists()
    assert (desk.folder / "chaostoolkit.log").exists()
    assert result.stdout == ""


def test_one_file_of_upstreams_that_upstream_refuses_exits_with_one(desk: Desk) -> None:
    (desk.folder / "theirs.json").write_text('{"title": "no method"}', encoding="utf-8")

    assert desk.chaos("run", "theirs.json").returncode == 1


def test_files_of_upstreams_among_several_keep_their_journals_apart(desk: Desk) -> None:
    result = desk.chaos("run", desk.upstreams("theirs"), desk.ours("one", verdict="pass"))

    assert result.returncode == 0, result.stderr
    assert (desk.folder / "journal-theirs.json").exists()


def test_ours_leave_neither_journal_nor_log_in_the_working_directory(desk: Desk) -> None:
    result = desk.chaos("run", desk.ours("one", verdict="pass"))

    assert result.returncode == 0, result.stderr
    left = {path.name for path in desk.folder.iterdir()}
    assert not left & {"journal.json", "chaostoolkit.log"}
    assert "Running command 'run'" in (desk.run_folder("one") / "chaostoolkit.log").read_text()


def test_a_log_of_earlier_commands_is_left_alone(desk: Desk) -> None:
    desk.chaos("run", desk.upstreams("theirs"))

    desk.chaos("run", desk.ours("one", verdict="pass"))

    assert (desk.folder / "chaostoolkit.log").exists()


def test_what_was_typed_reaches_the_child(desk: Desk) -> None:
    words = ("--log-file", "own.log", "--verbose", "run", "--journal-path", "own.json")
    source = desk.ours("one", verdict="${word}", word="fail")

    result = desk.chaos(*words, "--var", "verdict=pass", "--fail-fast", source)

    assert result.returncode == 0, result.stderr
    assert (desk.folder / "own.json").exists()
    assert "Runtime strategies" in (desk.folder / "own.log").read_text()


def test_one_journal_path_for_several_experiments_is_refused(desk: Desk) -> None:
    sources = [desk.ours("one", verdict="pass"), desk.ours("two", verdict="pass")]

    result = desk.chaos("run", "--journal-path", "own.json", *sources)

    assert result.returncode == 2
    assert "--journal-path names one file" in result.stderr
    assert not desk.began("one")


def test_a_dry_run_is_never_a_pass(desk: Desk) -> None:
    result = desk.chaos("run", "--dry", "activities", desk.ours("one", verdict="pass"))

    assert result.returncode == 3, result.stderr
    assert "dry-run" in result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_the_running_experiment_and_leaves_out_the_rest(
    desk: Desk, number: signal.Signals
) -> None:
    first = desk.ours("first", nap(30), verdict="pass")
    second = desk.ours("second", verdict="pass")
    process = desk.start("run", first, second)
    until(lambda: desk.began("first"))

    process.send_signal(number)
    output, errors = process.communicate(timeout=90)

    assert process.returncode == 3, errors
    journal = json.loads((desk.run_folder("first") / "journal.json").read_text())
    assert journal["status"] == "interrupted"
    assert not desk.began("second")
    assert "interrupted before it began" in output


def test_a_second_interrupt_says_that_healing_is_under_way(desk: Desk) -> None:
    rollback = {**nap(2)[0], "name": "slow rollback"}
    source = desk.write(
        "slow",
        nap(30),
        controls=[CONTROL],
        rollbacks=[rollback],
        runtime={"rollbacks": {"strategy": "always"}},
        configuration={"folder": str(desk.run_folder("slow")), "verdict": "pass"},
    )
    process = desk.start("run", source)
    until(lambda: desk.began("slow"))

    process.send_signal(signal.SIGINT)
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=90)

    assert process.returncode == 3
    assert "healing is under way" in errors
    journal = json.loads((desk.run_folder("slow") / "journal.json").read_text())
    assert [run["status"] for run in journal["rollbacks"]] == ["succeeded"]


def test_a_child_whose_parent_is_killed_is_interrupted_and_writes_its_journal(desk: Desk) -> None:
    process = desk.start("run", desk.ours("orphan", nap(30), verdict="pass"))
    until(lambda: desk.began("orphan"))

    process.kill()
    process.wait()

    journal = desk.run_folder("orphan") / "journal.json"
    until(journal.exists)
    assert json.loads(journal.read_text())["status"] == "interrupted"
    process.communicate()


def test_a_run_whose_shell_ignores_interrupts_can_be_interrupted(desk: Desk) -> None:
    """A script's background job starts with SIGINT ignored; chaos must be stoppable anyway."""
    source = desk.ours("background", nap(30), verdict="pass")
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = desk.start("run", source)
    finally:
        signal.signal(signal.SIGINT, previous)
    until(lambda: desk.began("background"))

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=90)

    assert process.returncode == 3, errors


def test_a_child_born_with_interrupts_ignored_still_ends_with_its_parent(desk: Desk) -> None:
    source = desk.ours("ignorant", nap(30), verdict="pass")
    reading, writing = os.pipe()
    report = str(desk.folder / "report.json")
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "k2chaos.launch.child", *QUIET, "run", source],
            cwd=desk.folder,
            env={**desk.environment, "K2CHAOS_REPORT": report, "K2CHAOS_PARENT_FD": str(reading)},
            pass_fds=(reading,),
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
    finally:
        signal.signal(signal.SIGINT, previous)
    os.close(reading)
    until(lambda: desk.began("ignorant"))

    os.close(writing)
    child.wait(timeout=90)

    journal = json.loads((desk.run_folder("ignorant") / "journal.json").read_text())
    assert journal["status"] == "interrupted"


def test_upstreams_other_commands_still_work(desk: Desk) -> None:
    assert desk.chaos("validate", desk.upstreams("theirs")).returncode == 0
    assert "SOURCE..." in desk.chaos("run", "--help").stdout


def test_chaos_toolkit_discovers_every_action_and_probe(desk: Desk) -> None:
    desk.chaos("discover", "--no-install", "chaostoolkit-k2chaos")

    found = json.loads((desk.folder / "discovery.json").read_text(encoding="utf-8"))
    names = {activity["name"] for activity in found["activities"]}
    assert {"pause", "crash", "await_recovery", "freshness_seconds", "lost_records"} <= names
