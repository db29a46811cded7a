"""Starting: patient with what recovers, and clear about what does not."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
from rich.console import Console

from k2chaos.errors import LabError
from k2chaos.system.lab import start
from k2chaos.system.lab.compose import Compose
from k2chaos.system.lab.compose_file import ServiceSpec
from k2chaos.system.lab.docker_api import LabContainer, LabEngine
from k2chaos.system.lab.start import Starting
from tests.unit.lab.containers import container

SERVICES = [ServiceSpec("kafka", (), ()), ServiceSpec("sink", ("kafka",), ())]


@dataclass
class ScriptedEngine:
    """Shows one list of containers after the other; the last one for ever."""

    scenes: list[Sequence[LabContainer]]
    removed: list[str] = field(default_factory=list)

    def containers(self, project: str) -> Sequence[LabContainer]:
        return self.scenes.pop(0) if len(self.scenes) > 1 else self.scenes[0]

    def log_tail(self, one: LabContainer, lines: int) -> str:
        return f"last words of {one.service}"

    def remove(self, one: LabContainer) -> None:
        self.removed.append(one.service)


@dataclass
class ScriptedRun:
    """A Compose command that has ended."""

    code: int

    def poll(self) -> int:
        return self.code

    def said(self) -> str:
        return "what Compose said"

    def stop(self) -> None:
        """It has ended already."""


@dataclass
class ScriptedCompose:
    """Ends with one code after the other; the last one for ever."""

    codes: list[int]
    command: tuple[str, ...] = ("docker-compose",)
    started: int = 0

    def start(self, *_: str) -> ScriptedRun:
        self.started += 1
        return ScriptedRun(self.codes.pop(0) if len(self.codes) > 1 else self.codes[0])


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_REST_SECONDS", 0.0)
    monkeypatch.setattr(start, "_POLL_SECONDS", 0.001)


def starting(engine: ScriptedEngine, compose: ScriptedCompose) -> tuple[Starting, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, width=200)
    value = Starting(cast("LabEngine", engine), cast("Compose", compose), SERVICES, console)
    return value, out


def test_it_returns_when_everything_is_healthy_and_says_each_change_once() -> None:
    up = [container("kafka"), container("sink")]
    engine = ScriptedEngine([[], [container("kafka"), container("sink", health="starting")], up])
    one, out = starting(engine, ScriptedCompose([0]))

    one.wait(seconds=5)

    lines = [line.split("  ")[-1] for line in out.getvalue().splitlines()]
    assert ["kafka: up", "sink: is starting", "sink: up"] == lines


def test_compose_is_run_again_when_it_gave_up_too_early() -> None:
    sick = [container("kafka", health="unhealthy")]
    up = [container("kafka"), container("sink")]
    compose = ScriptedCompose([1, 1, 0])
    engine = ScriptedEngine([[], sick, sick, up])
    one, _ = starting(engine, compose)

    one.wait(seconds=5)

    assert 3 == compose.started
    assert [] == engine.removed


def test_as_a_last_resort_leftover_containers_are_taken_away() -> None:
    engine = ScriptedEngine([[container("kafka", state="paused")]])
    one, out = starting(engine, ScriptedCompose([1]))

    with pytest.raises(LabError, match="what Compose said"):
        one.wait(seconds=5)

    assert ["kafka"] == engine.removed
    assert "starting once more" in out.getvalue()


def test_a_service_that_keeps_dying_is_told_with_the_end_of_its_log() -> None:
    dying = container("kafka", state="restarting", health="", restarts=9)
    one, _ = starting(ScriptedEngine([[], [dying]]), ScriptedCompose([0]))

    with pytest.raises(LabError, match=r"kafka \(died 9 times") as caught:
        one.wait(seconds=5)

    assert "last words of kafka" in str(caught.value)
    assert "last words of sink" not in str(caught.value)


def test_at_the_deadline_the_service_that_others_wait_for_is_told() -> None:
    slow = [container("kafka", health="starting"), container("sink", state="created", health="")]
    one, _ = starting(ScriptedEngine([slow]), ScriptedCompose([0]))

    with pytest.raises(LabError, match=r"within 0 s: kafka \(is starting\)") as caught:
        one.wait(seconds=0.01)

    assert "sink" not in str(caught.value)
