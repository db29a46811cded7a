"""
Whatever stands in an experiment and a pipeline file: nothing outside the scope is ever touched.

The scope is worked out here from the pipeline file's tree alone: containers of its project, of
services that it lists and does not forbid. ``make fuzz`` runs 100,000 pairs of files.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from hypothesis import HealthCheck, event, given, settings
from pydantic import TypeAdapter, ValidationError

from k2chaos import actions
from k2chaos.errors import K2ChaosError
from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.folder import create_run_folder
from k2chaos.evidence.ledger import FaultLedger
from k2chaos.lint import lint_experiment
from k2chaos.pipeline import Pipeline
from k2chaos.pipeline_file import PipelineFile
from k2chaos.system.admission import Admission
from k2chaos.system.interrupt import Interrupt
from k2chaos.system.run import Run, make_current
from k2chaos.system.runtime import Container, Runtime
from k2chaos.system.stages import Stages
from k2chaos.system.stop_conditions import StopConditions
from tests.fakes.clock import FakeClock
from tests.fakes.recorder import Recorder
from tests.fakes.runs import FakeGuardian, FakeObserver
from tests.fakes.runtime import FakeRuntime
from tests.unit.wild import PROJECTS, SERVICES, pairs

EXAMPLES = int(os.environ.get("K2CHAOS_FUZZ_EXAMPLES", "200"))
MEMORY = Path("/dev/shm")  # every ledger line is fsynced: no disk has to bear that
Pair = tuple[dict[str, Any], dict[str, Any]]
PIPELINES: TypeAdapter[Pipeline] = TypeAdapter(Pipeline)


def world() -> FakeRuntime:
    """Every project has every service, and of some two containers."""
    runtime = FakeRuntime()
    for project in PROJECTS:
        for service in SERVICES:
            runtime.add(service, project)
        runtime.add("web", project, number=2)
    return runtime


def scope_of(tree: dict[str, Any], runtime: FakeRuntime) -> set[Container]:
    listed: set[str] = set()
    for value in tree["services"].values():
        listed |= {value} if isinstance(value, str) else set(value)
    allowed = listed - set(tree["limits"]["never"])
    project = tree["compose"]["project"]
    return {one for one in runtime.states if one.project == project and one.service in allowed}


@contextlib.contextmanager
def running(pipeline: Pipeline, runtime: Recorder) -> Iterator[Run]:
    clock = FakeClock()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        folder = create_run_folder(Path(name), "fuzz", clock.now())
        run = Run(
            PipelineFile(Path(name) / "pipeline.yaml", pipeline, "", ()),
            cast("Runtime", runtime),
            Stages(pipeline),
            folder,
            FaultLedger(folder.run, "fuzz", (Path(name) / "state.jsonl", folder.ledger)),
            clock,
            Interrupt(),
            Baseline(clock.now(), {}),
            FakeGuardian(),
            FakeObserver(),
            StopConditions((), lambda _reason: None, clock),
            Admission(),
            contextlib.ExitStack(),
        )
        make_current(run)
        try:
            yield run
        finally:
            make_current(None)


def attempt(activity: dict[str, Any]) -> None:
    """Call the action as Chaos Toolkit would, whatever lint said of it."""
    provider = activity["provider"]
    try:
        getattr(actions, provider["func"])(**provider["arguments"])
        event("done")
    except K2ChaosError as error:
        event(type(error).__name__)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        event("no such argument")


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(pairs())
def test_nothing_outside_the_scope_is_ever_touched(pair: Pair) -> None:
    tree, experiment = pair
    try:
        pipeline = PIPELINES.validate_python(tree)
    except ValidationError:
        event("the pipeline file is refused")
        return
    event("lint refuses" if lint_experiment(experiment, pipeline) else "lint passes")
    runtime = Recorder(world())
    scope = scope_of(tree, runtime.inner)
    before = dict(runtime.inner.states)
    with running(pipeline, runtime) as run:
        for activity in experiment["method"]:
            attempt(activity)
        assert () == run.open_faults()

    assert set() == {one for one in runtime.touched if one[1] not in scope}
    assert runtime.listed <= {tree["compose"]["project"]}
    outside = [one for one in before if one not in scope]
    assert [] == [one for one in outside if runtime.inner.states[one] != before[one]]


def test_the_fuzz_does_break_things_inside_the_scope() -> None:
    """Otherwise it would prove nothing: some of what is generated is done, on every kind."""
    wanted = {"pause", "kill", "crash", "partition", "black-hole", "fail-names"}
    kinds: set[str] = set()

    @settings(max_examples=400, deadline=None, database=None, derandomize=True)
    @given(pairs([one.replace("-", "_") for one in sorted(wanted)]))
    def look(pair: Pair) -> None:
        tree, experiment = pair
        try:
            pipeline = PIPELINES.validate_python(tree)
        except ValidationError:
            return
        with running(pipeline, Recorder(world())) as run:
            for activity in experiment["method"]:
                attempt(activity)
            entries = run.folder.ledger.read_text() if run.folder.ledger.exists() else ""
            kinds.update(name for name in wanted if f'"kind": "{name}"' in entries)

    look()

    assert wanted == kinds
