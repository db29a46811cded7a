"""How far a service has come, judged from its container."""

from k2chaos.system.lab.compose_file import ServiceSpec
from k2chaos.system.lab.docker_api import LabContainer
from k2chaos.system.lab.standing import ServiceStanding, Standing, judge
from tests.unit.lab.containers import container

KAFKA = ServiceSpec("kafka", (), ())
REGISTRY = ServiceSpec("registry", ("kafka",), ())


def judged(
    *containers: LabContainer, ended: bool = False, before: dict[str, int] | None = None
) -> dict[str, ServiceStanding]:
    found = judge([KAFKA, REGISTRY], containers, before or {}, compose_ended=ended)
    return {one.service: one for one in found}


def test_running_and_healthy_is_up() -> None:
    assert Standing.UP is judged(container("kafka"))["kafka"].standing


def test_running_without_a_check_is_up() -> None:
    assert Standing.UP is judged(container("kafka", health=""))["kafka"].standing


def test_a_service_waits_for_its_dependency_by_name() -> None:
    found = judged(container("kafka", health="starting"))["registry"]

    assert (Standing.WAITING, "waits for kafka") == (found.standing, found.why)


def test_nothing_is_waited_for_once_dependencies_are_healthy() -> None:
    assert "is about to start" == judged(container("kafka"))["registry"].why


def test_a_container_that_ended_has_failed_once_nobody_will_start_it() -> None:
    ended = container("kafka", state="exited", health="")

    assert Standing.WAITING is judged(ended)["kafka"].standing
    assert Standing.FAILED is judged(ended, ended=True)["kafka"].standing
    assert "ended with 137" == judged(ended, ended=True)["kafka"].why


def test_a_container_that_keeps_dying_has_failed() -> None:
    dying = container("kafka", state="restarting", health="starting", restarts=6)

    assert Standing.FAILED is judged(dying)["kafka"].standing


def test_restarts_of_an_earlier_life_do_not_count() -> None:
    before = {"id-kafka": 40}
    once = container("kafka", health="starting", restarts=41)

    assert Standing.WAITING is judged(once, before=before)["kafka"].standing


def test_a_frozen_container_is_not_up() -> None:
    assert Standing.WAITING is judged(container("kafka", state="paused"))["kafka"].standing


def test_unhealthy_is_not_up() -> None:
    found = judged(container("kafka", health="unhealthy"), ended=True)["kafka"]

    assert (Standing.WAITING, "is unhealthy") == (found.standing, found.why)
