"""Fixtures of the end-to-end tests: a lab that is up, and a market that does what a test says."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from k2chaos.errors import EngineUnreachable
from k2chaos.pipeline_file import load_pipeline
from k2chaos.system.engine import connect
from k2chaos.system.stages import open_stages
from tests.e2e.lab import USUAL_RATE, Lab
from tests.e2e.metrics import Measured, keep
from tests.e2e.outages import (
    Crashes,
    Outage,
    RefusedError,
    Restarts,
    StackRestart,
    crash_one_by_one,
    kill_until,
    restart_engine,
    restart_source_and_sink,
    restart_stack,
)
from tests.e2e.preflight import NotUsableError, make_usable

PIPELINE = Path("pipelines/lab.yaml")
MEASURED = pytest.StashKey[Measured]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is end to end, and takes its time."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """
    The lab: the one that runs, or brought up; found unusable, it is said why in the first seconds.

    Skipped where the engine may not be used, which is a failure where CI promised one.
    """
    file = load_pipeline(PIPELINE)
    try:
        runtime = connect()
    except EngineUnreachable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no container engine may be used: {error}")
    os.environ.setdefault("K2CHAOS_JOURNALS", "journals/e2e/runs")
    lab = Lab(file, open_stages(file.pipeline), runtime)
    try:
        make_usable(lab)
    except NotUsableError as error:
        pytest.exit(f"the lab cannot be tested: {error}", returncode=1)
    before = lab.rate
    # A market that stands still has nothing to wait for; who wants a flow says so.
    lab.rate = 0
    yield lab
    lab.rate = before
    lab.stages.close()


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
def engine_restart(lab: Lab) -> StackRestart:
    """The engine ended and started, where nothing but the lab runs on it; else skipped."""
    try:
        return restart_engine(lab)
    except RefusedError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Where a test leaves its figures; they are kept with its outcome."""
    found = Measured()
    request.node.stash[MEASURED] = found
    return found


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep how every test ended, how long it took and what it measured."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when == "call" or (report.when == "setup" and not report.passed):
        figures = item.stash.get(MEASURED, Measured()).found
        keep(
            {
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "test": item.nodeid,
                "outcome": report.outcome,
                "seconds": round(report.duration, 2),
                "measured": figures,
            }
        )


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
