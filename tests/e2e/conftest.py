"""Fixtures of the end-to-end tests: a lab that is up, and a market that does what a test says."""

import gc
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest

from k2chaos.errors import EngineUnreachable, K2ChaosError
from k2chaos.pipeline_file import load_pipeline
from k2chaos.system.engine import connect
from k2chaos.system.stages import open_stages
from tests.e2e.command import RefusedError
from tests.e2e.keeping import KeepMetrics
from tests.e2e.lab import USUAL_RATE, Lab
from tests.e2e.metrics import FILE, MEASURED, Measured, Recorder
from tests.e2e.outages import (
    Crashes,
    Outage,
    Restarts,
    StackRestart,
    crash_one_by_one,
    kill_until,
    restart_engine,
    restart_source_and_sink,
    restart_stack,
)
from tests.e2e.preflight import NotUsableError, make_usable
from tests.e2e.session import Keeper, alone, put_back, recorder_of, remember
from tools.e2e.origin import commit, now

LAB = Path("pipelines/lab.yaml")
PIPELINE = Path(os.environ.get("K2CHAOS_E2E_PIPELINE", LAB))
"""Another one than the lab's is only looked at."""
KEEPER = pytest.StashKey[Keeper]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep what is measured, and how every test ended."""
    file = FILE if PIPELINE == LAB else FILE.with_name(f"metrics-{PIPELINE.stem}.jsonl")
    recorder = Recorder(now(), file, commit())
    config.pluginmanager.register(KeepMetrics(recorder), "e2e-metrics")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything here is end to end, and takes its time; on a foreign pipeline we only look."""
    here = Path(__file__).parent
    ours = [item for item in items if item.path.is_relative_to(here)]
    for item in ours:
        item.add_marker(pytest.mark.e2e)
        item.add_marker(pytest.mark.slow)
    if PIPELINE != LAB:
        left_out = [item for item in ours if not item.get_closest_marker("readonly")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A lab that the test before has left broken is repaired, and the repair is reported."""
    if keeper := item.config.stash.get(KEEPER, None):
        keeper.repair(item.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """What the services used since the last test."""
    if keeper := item.config.stash.get(KEEPER, None):
        keeper.count(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What had to be repaired."""
    repairs = recorder_of(terminalreporter.config).repairs
    if repairs:
        terminalreporter.section("repairs of the lab")
    for one in repairs:
        what = f"{one.trouble}: {one.repair}, {one.seconds:.0f} s"
        terminalreporter.write_line(f"before {one.before_test}: {what}")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """
    The lab: the one that runs, or brought up; found unusable, it is said why in the first seconds.

    Skipped where the engine may not be used, which is a failure where CI promised one.
    """
    os.environ.setdefault("K2CHAOS_JOURNALS", "journals/e2e/runs")
    signal.signal(signal.SIGTERM, _interrupt)
    lab = _opened()
    try:
        with alone(lab.pipeline.compose.project) as state:
            found = remember(state, lab)
            try:
                make_usable(lab, partial(_say, request.config))
                # A market that stands still has nothing to wait for; who wants a flow says so.
                lab.rate = 0
                recorder = recorder_of(request.config)
                recorder.engine = lab.runtime.version()
                request.config.stash[KEEPER] = keeper = Keeper(lab, recorder)
                try:
                    yield lab
                finally:
                    keeper.close()
            finally:
                put_back(state, lab, found)
    except NotUsableError as error:
        pytest.exit(f"the lab cannot be tested: {error}", returncode=1)
    finally:
        lab.stages.close()


@pytest.fixture(scope="module")
def watched(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A pipeline that flows, to be looked at only: the lab, or the one that was named."""
    if PIPELINE == LAB:
        lab = request.getfixturevalue("lab")
        lab.await_well()
        with lab.flowing(USUAL_RATE):
            yield lab
        return
    found = _opened()
    try:
        yield found
    finally:
        found.stages.close()


def _opened() -> Lab:
    """The pipeline of the file; nothing of it is touched."""
    try:
        file = load_pipeline(PIPELINE)
    except K2ChaosError as error:
        pytest.exit(f"K2CHAOS_E2E_PIPELINE={PIPELINE}: {error}", returncode=2)
    runtime, reason = None, ""
    try:
        runtime = connect()
    except EngineUnreachable as error:
        reason = str(error)
    if runtime is None:
        _forget_sockets()
        if os.environ.get("CI") == "true":
            pytest.exit(reason, returncode=1)
        pytest.skip(f"no container engine may be used: {reason}")
    return Lab(file, open_stages(file.pipeline), runtime)


def _forget_sockets() -> None:
    """The engine's client leaves one open where it could not connect, and says so at our end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def _interrupt(*_: object) -> None:
    """A SIGTERM ends a session as Ctrl-C does: faults healed, the lab as it was found."""
    raise KeyboardInterrupt


def _say(config: pytest.Config, text: str) -> None:
    capture = config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        sys.stderr.write(f"\n{text}\n")
        sys.stderr.flush()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Where a test leaves its figures; they are kept with its outcome."""
    found = Measured()
    request.node.stash[MEASURED] = found
    return found


@pytest.fixture
def still(lab: Lab) -> Lab:
    """The lab with a market that stands still: only what the test asks for is emitted."""
    lab.await_well()
    assert lab.rate == 0, "a test before this one left the market running"
    return lab


@pytest.fixture
def flowing(lab: Lab) -> Iterator[Lab]:
    """The lab with a market at its usual pace, all of it well."""
    lab.await_well()
    with lab.flowing(USUAL_RATE):
        yield lab


@pytest.fixture(scope="session")
def broker_outage(lab: Lab) -> Outage:
    """The broker killed until the engine calls source and sink unhealthy."""
    services = [lab.container(role).service for role in ("source", "sink")]
    return kill_until(
        lab,
        "broker",
        lambda look: {look.states[one].health for one in services} == {"unhealthy"},
        "source and sink unhealthy without a broker",
    )


@pytest.fixture(scope="session")
def store_outage(lab: Lab) -> Outage:
    """The object store killed until the sink has said so, and a read of the API too."""
    return kill_until(
        lab,
        "store",
        lambda look: look.health["sink"][0] == 503 and bool(look.read[1].get("degraded")),
        "the sink unhealthy and the API degraded without a store",
    )


@pytest.fixture(scope="session")
def restarts(lab: Lab) -> Restarts:
    """Sink and source killed with records on their way, and a registry away, on a still market."""
    return restart_source_and_sink(lab)


@pytest.fixture(scope="session")
def crashes(lab: Lab) -> Crashes:
    """Services crashed one after the other."""
    return crash_one_by_one(lab)


@pytest.fixture(scope="session")
def stack_restart(lab: Lab) -> StackRestart:
    """The whole stack down and up."""
    return restart_stack(lab)


@pytest.fixture(scope="session")
def engine_restart(lab: Lab, request: pytest.FixtureRequest) -> StackRestart:
    """The engine ended and started, where nothing but the lab runs on it; else skipped."""
    try:
        with request.config.stash[KEEPER].resting():
            return restart_engine(lab)
    except RefusedError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
