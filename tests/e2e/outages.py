"""
What is broken, once each: an outage is made, recorded, and asked by many tests.

Each leaves the lab well, with the market as it was, and keeps the window of records during which
it happened: whoever asserts that nothing was lost reads that window.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.records import Window
from k2chaos.system.faults.process import Crash, Kill, Pause
from k2chaos.system.runtime import ContainerState
from k2chaos.system.windows import read_window
from tests.e2e.command import k2chaos
from tests.e2e.events import EngineEvents, Event
from tests.e2e.lab import USUAL_RATE, Lab
from tests.e2e.recording import Look, Recording, recorded

OURS: Final = ("exchange", "source", "sink", "api")
"""The services that are the lab's own code; the others are what they lean on."""
CRASHED: Final = ("catalog-db", "catalog", *OURS)
"""Broker and store are killed by outages of their own."""
MIDWAY_RECORDS: Final = 600
_NOTICED_SECONDS: Final = 60.0
_ARRIVED_SECONDS: Final = 60.0
_UP_SECONDS: Final = 180.0


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
    with lab.flowing(USUAL_RATE), recorded(lab) as recording:
        with lab.outage(Kill, role) as hold:
            recording.broken_from = hold.injected_at
            lab.emit(MIDWAY_RECORDS)
            lab.wait_until(recording.newest, is_met, what, _NOTICED_SECONDS)
            recording.broken_until = lab.clock.now()
        lab.await_healthy()
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
    Kill the sink with a batch in its hands, then the source; start both while a registry is away.

    The store is frozen while the sink has the records, so that it cannot have written them.
    """
    lab.await_well()
    baseline = lab.baseline()
    first = ("registry", "schema-registry-1")
    with lab.breaking("restarts") as breaking, ExitStack() as away:
        with ExitStack() as sink_is_down:
            with breaking.hold(Pause, "store"):
                unwritten = lab.emit(2_000)
                lab.await_arrival(unwritten, "topic")
                sink_is_down.enter_context(breaking.hold(Kill, "sink"))
            rows = read_window(lab.stages, "table", unwritten, baseline).num_rows
            away.enter_context(breaking.hold(Kill, *first))
            with breaking.hold(Kill, "source"):
                unseen = lab.emit(3_000)
        # What does not come is for the tests to find, and to name.
        lab.stages.wait_until_drained("api", unseen.until, _ARRIVED_SECONDS)
        registry = lab.state(*first)
    lab.await_healthy()
    window = Window(unwritten.after, unseen.until)
    return Restarts(window, baseline, unwritten, unseen, rows, registry)


@dataclass(frozen=True)
class Crashes(Outage):
    """Services crashed one after the other: state before and after, by role."""

    states: dict[str, tuple[ContainerState, ContainerState]] = field(default_factory=dict)


def crash_one_by_one(lab: Lab) -> Crashes:
    """Crash the catalog, its database and every service of ours; their policies answer."""
    lab.await_well()
    baseline = lab.baseline()
    before = {role: lab.state(role) for role in CRASHED}
    with lab.flowing(USUAL_RATE), lab.breaking("crashes") as breaking:
        for role in CRASHED:
            with breaking.hold(Crash, role):
                pass
    lab.await_healthy()
    states = {role: (before[role], lab.state(role)) for role in CRASHED}
    return Crashes(lab.stages.window_since(baseline), baseline, states=states)


@dataclass(frozen=True)
class StackRestart(Outage):
    """
    The whole stack down and up again, or the engine under it, while trades were flowing.

    Attributes:
        states: By service, before and after.
        rows: Of the table, before the window and after it.
        events: What the engine told of containers meanwhile; none where it was itself away.
    """

    states: dict[str, tuple[ContainerState, ContainerState]] = field(default_factory=dict)
    rows: tuple[int, int] = (0, 0)
    events: list[Event] = field(default_factory=list)


def restart_stack(lab: Lab) -> StackRestart:
    """`k2chaos lab down`, then `lab up`; data stay."""

    def down_and_up() -> list[Event]:
        with EngineEvents(lab.runtime.engine, lab.pipeline.compose.project) as events:
            k2chaos("lab", "down")
            k2chaos("lab", "up")
        return events.seen

    return _restarted(lab, down_and_up)


def restart_engine(lab: Lab) -> StackRestart:
    """
    The engine ended and started again; nobody brings the containers up but their policies.

    Raises:
        RefusedError: It is not ours to restart.
    """

    def restart() -> list[Event]:
        k2chaos("lab", "engine", "--restart")
        return []

    return _restarted(lab, restart)


def _restarted(lab: Lab, act: Callable[[], list[Event]]) -> StackRestart:
    lab.await_well()
    baseline, rows, before = lab.baseline(), lab.rows(), lab.states()
    with lab.flowing(USUAL_RATE):
        events = act()
        lab.await_healthy(_UP_SECONDS)
    window = lab.stages.window_since(baseline)
    lab.has_drained(_ARRIVED_SECONDS)
    after = lab.states()
    return StackRestart(
        window,
        baseline,
        states={name: (before[name], after[name]) for name in before},
        rows=(rows, lab.rows()),
        events=events,
    )
