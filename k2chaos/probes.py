"""
Probes for Chaos Toolkit: each measures one quantity and returns a number, or raises.

Tolerances judge; a probe never does. What could not be seen is an error (`StageUnavailable` when
the pipeline refused or hung, `StageBlind` when we could not look), never a number and never
``None``. Inside a run every measurement is kept as an event of the run.
"""

import statistics

from chaoslib.types import Configuration, Secrets

from k2chaos.judge.audit import count_duplicated, count_lost
from k2chaos.system.gathering import read_until_now
from k2chaos.system.run import current_run
from k2chaos.system.services import service_states

__all__ = [
    "api_latency_seconds",
    "duplicated_records",
    "freshness_seconds",
    "healthy_services",
    "impaired_services",
    "lost_records",
    "running_services",
    "throughput_records_per_second",
]


def freshness_seconds(
    stage: str = "api", configuration: Configuration = None, secrets: Secrets = None
) -> float:
    """
    How stale a stage is, from the records themselves.

    For one key 0 while every emitted record is visible there, else now minus the event time of
    the newest visible one; the stage's is that of its worst key. Never derived from a lag.

    Args:
        stage: ``topic``, ``table`` or ``api``.

    Returns:
        Seconds.

    Raises:
        StageUnavailable: The stage, or the exchange, refused, hung or erred.
        StageBlind: We could not look.
        Unsupported: This pipeline has no such stage.
    """
    run = current_run()
    with run.noting_unsupported():
        value = run.stages.freshness_seconds(stage)
    run.folder.append_event("measured", probe="freshness_seconds", stage=stage, value=value)
    return round(value, 3)


def throughput_records_per_second(
    stage: str = "table",
    seconds: float = 5.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> float:
    """
    How many records become visible at a stage, per second, measured over a real interval.

    Args:
        stage: ``exchange``, ``topic``, ``table`` or ``api``.
        seconds: How long to look; several times the sink's batch interval says more.

    Returns:
        Records per second.

    Raises:
        StageUnavailable: The stage refused, hung or erred.
        StageBlind: We could not look.
        Unsupported: This pipeline has no such stage.
    """
    run = current_run()
    with run.noting_unsupported():
        value = run.stages.throughput_records_per_second(stage, seconds, run.interrupt.requested)
    run.folder.append_event(
        "measured", probe="throughput_records_per_second", stage=stage, value=value
    )
    return round(value, 3)


def lost_records(
    stage: str = "table",
    deadline: float = 60.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> int:
    """
    How many records of the run, emitted up to this call, are not to be found at a stage.

    Every record emitted since the run began is looked for by its key and number, after waiting
    for the tail to drain.

    Args:
        stage: ``topic``, ``table`` or ``api``.
        deadline: Seconds to wait for the tail; what is missing then is lost.

    Returns:
        How many are missing.

    Raises:
        StageUnavailable: The stage refused, hung or erred at the deadline.
        StageBlind: We could not look.
        Unsupported: This pipeline has no such stage.
    """
    run = current_run()
    with run.noting_unsupported():
        window, records = read_until_now(run, stage, deadline)
    count = count_lost(window, records)
    run.folder.append_event("measured", probe="lost_records", stage=stage, value=count)
    return count


def duplicated_records(
    stage: str = "table",
    deadline: float = 60.0,
    configuration: Configuration = None,
    secrets: Secrets = None,
) -> int:
    """
    How many copies too many a stage holds of the records of the run.

    Args:
        stage: ``topic`` or ``table`` (or ``api``).
        deadline: Seconds to wait for the tail to drain before looking.

    Returns:
        How many rows are copies of a record that is already there.

    Raises:
        StageUnavailable: The stage refused, hung or erred at the deadline.
        StageBlind: We could not look.
        Unsupported: This pipeline has no such stage.
    """
    run = current_run()
    with run.noting_unsupported():
        window, records = read_until_now(run, stage, deadline)
    count = count_duplicated(window, records)
    run.folder.append_event("measured", probe="duplicated_records", stage=stage, value=count)
    return count


def running_services(configuration: Configuration = None, secrets: Secrets = None) -> int:
    """
    How many services of the pipeline file run; a frozen one does not.

    Returns:
        Number of services.

    Raises:
        EngineUnreachable: The engine does not answer.
    """
    run = current_run()
    return sum(one.is_running for one in service_states(run.runtime, run.pipeline))


def healthy_services(configuration: Configuration = None, secrets: Secrets = None) -> int:
    """
    How many services of the pipeline file run and pass the health checks they declare.

    Returns:
        Number of services.

    Raises:
        EngineUnreachable: The engine does not answer.
    """
    run = current_run()
    return sum(one.is_healthy for one in service_states(run.runtime, run.pipeline))


def impaired_services(configuration: Configuration = None, secrets: Secrets = None) -> int:
    """
    How many services of the pipeline file are missing, not running, frozen or not healthy.

    0 means all is well whatever the pipeline, so that one experiment fits several pipelines.

    Returns:
        Number of services.

    Raises:
        EngineUnreachable: The engine does not answer.
    """
    run = current_run()
    troubles = [one.trouble for one in service_states(run.runtime, run.pipeline) if one.trouble]
    run.folder.append_event(
        "measured", probe="impaired_services", value=len(troubles), troubles=troubles
    )
    return len(troubles)


def api_latency_seconds(
    requests: int = 10, configuration: Configuration = None, secrets: Secrets = None
) -> float:
    """
    How long the query API takes for its newest records: the median of several requests.

    Args:
        requests: How many to make, one after the other.

    Returns:
        Seconds, as the client sees them.

    Raises:
        StageUnavailable: The API refused, hung or erred.
        StageBlind: It did not accept our key.
        Unsupported: This pipeline has no API.
    """
    run = current_run()
    with run.noting_unsupported():
        latencies = [run.stages.api_latency_seconds() for _ in range(max(1, requests))]
    value = statistics.median(latencies)
    run.folder.append_event("measured", probe="api_latency_seconds", value=value)
    return round(value, 4)
