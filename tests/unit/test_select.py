"""Choosing targets: default deny."""

import pytest

from k2chaos.errors import AmbiguousTarget, ContainerNotFound, Unsupported, UsageError
from k2chaos.pipeline import Pipeline
from k2chaos.system.runtime import select
from tests.fakes.pipelines import lab_pipeline
from tests.fakes.runtime import FakeRuntime


@pytest.fixture
def pipeline() -> Pipeline:
    return lab_pipeline()


def test_the_one_container_of_a_role_is_chosen(pipeline: Pipeline) -> None:
    runtime = FakeRuntime()
    kafka = runtime.add("kafka")
    runtime.add("postgres")

    assert (kafka,) == select(runtime, pipeline, "broker")


def test_a_stopped_container_answers_too(pipeline: Pipeline) -> None:
    runtime = FakeRuntime()
    kafka = runtime.add("kafka")
    runtime.send(kafka, "stop")

    assert (kafka,) == select(runtime, pipeline, "broker")


def test_a_container_of_another_project_is_never_chosen(pipeline: Pipeline) -> None:
    runtime = FakeRuntime()
    runtime.add("kafka", project="production")

    with pytest.raises(ContainerNotFound, match="k2-lab"):
        select(runtime, pipeline, "broker")


def test_a_service_that_the_pipeline_does_not_list_is_never_chosen(pipeline: Pipeline) -> None:
    runtime = FakeRuntime()
    runtime.add("grafana")

    with pytest.raises(ContainerNotFound):
        select(runtime, pipeline, "broker")


def test_more_matches_than_asked_for_are_an_error(pipeline: Pipeline) -> None:
    runtime = FakeRuntime()
    runtime.add("schema-registry-1")
    runtime.add("schema-registry-2")

    with pytest.raises(AmbiguousTarget, match="count=2"):
        select(runtime, pipeline, "registry")
    assert 2 == len(select(runtime, pipeline, "registry", count=2))
    assert 1 == len(select(runtime, pipeline, "registry", service="schema-registry-2"))


def test_fewer_matches_than_asked_for_are_an_error(pipeline: Pipeline) -> None:
    runtime = FakeRuntime()
    runtime.add("kafka")

    with pytest.raises(AmbiguousTarget, match="1 containers answer"):
        select(runtime, pipeline, "broker", count=2)


def test_a_role_outside_the_vocabulary_names_the_vocabulary(pipeline: Pipeline) -> None:
    with pytest.raises(UsageError, match=r"'kafka' is no role; the roles are: exchange, source"):
        select(FakeRuntime(), pipeline, "kafka")


def test_a_role_that_this_pipeline_lacks_is_unsupported() -> None:
    pipeline = lab_pipeline(without=("exchange",))

    with pytest.raises(Unsupported, match="has no exchange"):
        select(FakeRuntime(), pipeline, "exchange")


def test_a_service_of_another_role_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(UsageError, match="not one of the role broker"):
        select(FakeRuntime(), pipeline, "broker", service="postgres")


def test_what_must_never_be_touched_is_refused() -> None:
    pipeline = lab_pipeline(limits={"never": ["kafka"]})
    runtime = FakeRuntime()
    runtime.add("kafka")

    with pytest.raises(UsageError, match=r"limits\.never"):
        select(runtime, pipeline, "broker")
