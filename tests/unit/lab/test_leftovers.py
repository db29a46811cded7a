"""What an earlier lab left: taken away only where Compose would stumble over it."""

import pytest

from k2chaos.system.lab.leftovers import Remedy, leftovers
from tests.unit.lab.containers import container

NETWORKS = frozenset({"net"})


def test_running_and_cleanly_stopped_containers_are_left_alone() -> None:
    fine = [container("kafka"), container("sink", state="exited", health="")]

    assert () == leftovers(fine, NETWORKS)


def test_a_running_container_is_left_alone_even_on_a_network_we_do_not_know() -> None:
    assert () == leftovers([container("kafka", networks=("other",))], NETWORKS)


@pytest.mark.parametrize(
    "state, name, networks, remedy",
    [
        ("paused", "", ("net",), Remedy.UNPAUSE),
        ("created", "", ("net",), Remedy.REMOVE),
        ("dead", "", ("net",), Remedy.REMOVE),
        ("exited", "", ("gone",), Remedy.REMOVE),
        ("exited", "0123456789ab_k2-lab_kafka_1", ("net",), Remedy.REMOVE),
    ],
)
def test_what_compose_would_stumble_over_is_dealt_with(
    state: str, name: str, networks: tuple[str, ...], remedy: Remedy
) -> None:
    stale = container("kafka", state=state, name=name, networks=networks, health="")

    assert [remedy] == [one.remedy for one in leftovers([stale], NETWORKS)]
