"""
What is broken, once each: an outage is made, recorded, and asked by many tests.

Each leaves the lab well, with the market as it was, and keeps the window of records during which
it happened: whoever asserts that nothing was lost reads that window.
"""

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.records import Window
from k2chaos.system.faults.process import Crash, Kill, Pause, Stop
from k2chaos.system.runtime import ContainerState
from tests.e2e.events import EngineEvents
from tests.e2e.lab import Lab
from tests.e2e.recording import Look, Recording, recorded

OURS: Final = ("exchange", "source", "sink", "api")
"""The services that are the lab's own code; the others are what they lean on."""
GRACE_SECONDS: Final = {"exchange": 15.0, "source": 15.0, "sink": 30.0, "api": 15.0}
"""As in ``stack/compose.yaml``."""

CRASHED: Final = (*OURS, "catalog", "catalog-db")
"""Broker and store are killed by outages of their own."""
MIDWAY_RECORDS: Final = 600
_NOTICED_SECONDS: Final = 60.0
_COMMAND_SECONDS: Final = 300.0


@dataclass(frozen=True)
class Outage:
    """
    One outage.

    Attributes:
        window: Every record emitted from before the outage until all was well again.
        recording: What could be seen meanwhile.
    """

    window: Window
    baseline: Baseline
    recording: Recording = field(default_factory=Recording)


def kill_until(lab: Lab, role: str, is_met: Callable[[Look], bool], what: str) -> Outage:
    """The service of *role* killed until others have said so, with records emitted midway."""
    lab.await_well()
    baseline = lab.baseline()
    with recorded(lab) as recording:
        with lab.outage(Kill, role) as hold:
            recording.broken_from = hold.injected_at
            lab.emit(MIDWAY_RECORDS)
            lab.wait_until(recording.newest, is_met, what, _NOTICED_SECONDS)
            recording.broken_until = lab.clock.now()
        lab.await_well()
        recording.await_another()
    return Outage(lab.stages.window_since(baseline), baseline, recording)


@dataclass(frozen=True)
class Restarts:
    """
    Sink and source killed while records were on their way, and started without registry 1.

    Attributes:
        unwritten: Records in the topic and not in the table when the sink was killed.
        unseen: Records emitted while the source was down.
        rows_of_unwritten: How many of *unwritten* were in the table before the sink came back.
        first_registry: What registry 1 was when source and sink were at work again.
    """

    window: Window
    baseline: Baseline
    unwritten: Window
    unseen: Window
    rows_of_unwritten: int
    first_registry: ContainerState


def restart_source_and_sink(lab: Lab) -> Restarts:
    """
    Kill the sink with a batch in its hands, then the source, while a registry is away.

    The store is frozen while the sink has the records, so that it cannot have written them.
    """
    baseline = lab.baseline()
    with (
        lab.breaking("restarts") as breaking,
        breaking.hold(Kill, "registry", "schema-registry-1"),
    ):
        with ExitStack() as sink_is_down:
            with breaking.hold(Pause, "store"):
                unwritten = lab.emit(2_000)
                lab.await_arrival(unwritten, "topic")
                sink_is_down.enter_context(breaking.hold(Kill, "sink"))
            rows = lab.stages.read_window("table", unwritten, baseline).num_rows
            with breaking.hold(Kill, "source"):
                unseen = lab.emit(3_000)
        lab.await_arrival(unseen, "api", 60)
        registry = lab.state("registry", "schema-registry-1")
    lab.await_well()
    window = Window(unwritten.after, unseen.until)
    return Restarts(window, baseline, unwritten, unseen, rows, registry)


@dataclass(frozen=True)
class Crashes(Outage):
    """Services crashed one after the other: state before and after, by role."""

    states: dict[str, tuple[ContainerState, ContainerState]] = field(default_factory=dict)


def crash_one_by_one(lab: Lab) -> Crashes:
    """Crash every service of ours, the catalog and its database; their policies answer."""
    lab.await_well()
    baseline = lab.baseline()
    before = {role: lab.state(role) for role in CRASHED}
    with lab.breaking("crashes") as breaking:
        for role in CRASHED:
            with breaking.hold(Crash, role):
                pass
    lab.await_well()
    states = {role: (before[role], lab.state(role)) for role in CRASHED}
    return Crashes(lab.stages.window_since(baseline), baseline, states=states)


@dataclass(frozen=True)
class Stops(Outage):
    """Services stopped one after the other: seconds to the end, and exit code, by role."""

    ends: dict[str, tuple[float, int]] = field(default_factory=dict)


def stop_one_by_one(lab: Lab) -> Stops:
    """Stop every service of ours, as an operator does, and start it again."""
    lab.await_well()
    baseline = lab.baseline()
    ends = {}
    with lab.breaking("stops") as breaking:
        for role in OURS:
            grace = GRACE_SECONDS[role]
            with breaking.hold(Stop, role, grace_seconds=grace) as hold:
                ends[role] = (hold.inject_seconds, lab.state(role).exit_code)
    lab.await_well()
    return Stops(lab.stages.window_since(baseline), baseline, ends=ends)


@dataclass(frozen=True)
class StackRestart:
    """
    The whole stack down and up again, or the engine under it.

    Attributes:
        newest_before: By symbol, the newest trade that the API showed before.
        newest_after: The same afterwards, nothing having been emitted.
        rows: Of the table, before and after.
        states: By service, before and after.
        events: What the engine told of containers meanwhile; none where it was itself away.
    """

    newest_before: dict[str, int]
    newest_after: dict[str, int]
    rows: tuple[int, int]
    states: dict[str, tuple[ContainerState, ContainerState]]
    events: list[dict[str, Any]]


def restart_stack(lab: Lab) -> StackRestart:
    """`k2chaos lab down`, then `lab up`; the market stands still and its data stay."""

    def down_and_up() -> list[dict[str, Any]]:
        k2chaos("lab", "down")
        with EngineEvents(lab.runtime.engine, lab.pipeline.compose.project) as events:
            k2chaos("lab", "up")
        return events.seen

    return _restarted(lab, down_and_up)


def restart_engine(lab: Lab) -> StackRestart:
    """The engine ended and started again; nobody brings the containers up but their policies."""

    def restart() -> list[dict[str, Any]]:
        k2chaos("lab", "engine", "--restart")
        return []

    return _restarted(lab, restart)


def _restarted(lab: Lab, act: Callable[[], list[dict[str, Any]]]) -> StackRestart:
    lab.await_well()
    with lab.trading_at(0):
        lab.await_all()
        newest, rows, before = lab.newest_shown(), lab.rows(), lab.states()
        events = act()
        lab.await_well(180)
        after = lab.states()
        states = {name: (before[name], after[name]) for name in before}
        return StackRestart(newest, lab.newest_shown(), (rows, lab.rows()), states, events)


def k2chaos(*words: str) -> str:
    """What the command prints; it must succeed."""
    command = [str(Path(sys.executable).with_name("k2chaos")), *words]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=_COMMAND_SECONDS
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout
