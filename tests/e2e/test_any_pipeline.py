"""
The read-only subset: what can be tested on any pipeline, for it only looks.

``K2CHAOS_E2E_PIPELINE=file.yaml`` names another pipeline than the lab; of the suite only these
tests run then. On the lab they are part of the core.
"""

import numpy as np
import pytest

from k2chaos.judge.audit import audit
from k2chaos.system.services import service_states
from k2chaos.system.windows import read_window, take_baseline
from tests.e2e.lab import Lab
from tests.e2e.metrics import Measured
from tests.e2e.paths import covers

pytestmark = pytest.mark.readonly

WINDOW_SECONDS = 8.0
DRAIN_SECONDS = 60.0
P95_SECONDS = 1.0


def test_every_service_that_the_file_lists_runs_and_is_healthy(watched: Lab) -> None:
    states = service_states(watched.runtime, watched.pipeline)

    assert states, "the pipeline file lists no service"
    assert [] == [one.trouble for one in states if one.trouble]


@covers("exchange -> API in time")
def test_every_stage_is_within_the_files_budget(watched: Lab, measured: Measured) -> None:
    stages = [one for one in watched.pipeline.stages if one != "exchange"]
    assert stages
    for stage in stages:
        seen = watched.stages.freshness_seconds(stage)
        measured.values(**{f"{stage}_freshness_seconds": seen})
        assert seen < watched.pipeline.budgets.freshness_seconds, stage


@covers("exchange -> topic", "topic -> table", "table -> API")
def test_enough_flows_and_every_record_of_a_window_is_at_every_stage(
    watched: Lab, measured: Measured
) -> None:
    baseline = take_baseline(watched.stages, watched.clock)
    watched.clock.wait(WINDOW_SECONDS)
    window = watched.stages.window_since(baseline)
    stages = [one for one in watched.pipeline.stages if one != "exchange"]
    for stage in stages:
        watched.await_arrival(window, stage, DRAIN_SECONDS)
    found = audit(
        window, {one: read_window(watched.stages, one, window, baseline) for one in stages}
    )

    flowing = window.expected / WINDOW_SECONDS
    measured.values(records_per_second=flowing)
    assert flowing >= watched.pipeline.budgets.throughput_records_per_second
    assert [] == [one.to_json() for one in found]


@covers("table -> API")
def test_the_api_answers_in_time(watched: Lab, measured: Measured) -> None:
    if watched.pipeline.api is None:
        pytest.skip("the pipeline has no API")
    took = [watched.stages.api_latency_seconds() for _ in range(20)]

    measured.marks("latency_seconds", took)
    assert np.percentile(took, 95) < P95_SECONDS
