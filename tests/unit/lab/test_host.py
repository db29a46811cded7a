"""What to do about an engine that is not there: decided from facts, refused in one message."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from k2chaos.errors import EngineUnreachable
from k2chaos.system.lab.host import (
    EngineState,
    HostFacts,
    Plan,
    Start,
    packages,
    plan,
    read_distribution,
)

BARE_DEBIAN = HostFacts(
    distribution=frozenset({"debian"}),
    root=True,
    apt=True,
    systemd=False,
    address="unix:///var/run/docker.sock",
    named=False,
    engine=EngineState.SILENT,
    daemon=False,
    compose=False,
)
READY = replace(BARE_DEBIAN, engine=EngineState.ANSWERS, daemon=True, compose=True)


def having(*there: str) -> "Collection[str]":
    return frozenset(there)


def test_an_engine_that_answers_is_used_as_it_is() -> None:
    assert Plan() == plan(replace(READY, root=False, distribution=frozenset({"fedora"})))


def test_a_named_engine_that_answers_is_used_as_it_is() -> None:
    assert Plan() == plan(replace(READY, root=False, named=True, address="unix:///run/me.sock"))


def test_on_bare_debian_as_root_everything_is_installed_and_started_by_hand() -> None:
    assert Plan(install_engine=True, install_compose=True, start=Start.BY_HAND) == plan(BARE_DEBIAN)


def test_systemd_starts_the_daemon_where_it_runs_the_host() -> None:
    assert Start.SYSTEMD is plan(replace(BARE_DEBIAN, systemd=True)).start


def test_a_daemon_that_is_installed_is_only_started_whatever_the_distribution() -> None:
    facts = replace(BARE_DEBIAN, daemon=True, compose=True, distribution=frozenset({"arch"}))

    assert Plan(start=Start.BY_HAND) == plan(facts)


def test_only_compose_is_installed_where_only_compose_is_missing() -> None:
    assert Plan(install_compose=True) == plan(replace(READY, compose=False))


@pytest.mark.parametrize(
    "facts, says",
    [
        (replace(BARE_DEBIAN, root=False), "sudo apt-get install docker.io"),
        (replace(BARE_DEBIAN, distribution=frozenset({"fedora"})), "install Docker Engine"),
        (replace(BARE_DEBIAN, distribution=frozenset(), apt=False), "install Docker Engine"),
        (replace(BARE_DEBIAN, root=False, daemon=True, compose=True), "start it"),
        (replace(BARE_DEBIAN, engine=EngineState.DENIED), "may not use it"),
        (replace(BARE_DEBIAN, named=True, address="tcp://far:2375"), "DOCKER_HOST"),
        (replace(READY, compose=False, root=False), "there is no Docker Compose"),
    ],
)
def test_where_nothing_is_ours_to_do_one_message_says_what_is(facts: HostFacts, says: str) -> None:
    with pytest.raises(EngineUnreachable, match=says) as caught:
        plan(facts)

    assert 2 == caught.value.exit_code
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "there, chosen",
    [
        (having("docker-compose"), ["docker.io", "iptables", "docker-compose"]),
        (
            having("docker-compose", "docker-cli"),
            ["docker.io", "iptables", "docker-cli", "docker-compose"],
        ),
        (
            having("docker-compose", "docker-compose-v2"),
            ["docker.io", "iptables", "docker-compose-v2"],
        ),
    ],
)
def test_packages_are_those_the_distribution_has(there: frozenset[str], chosen: list[str]) -> None:
    found = packages(Plan(install_engine=True, install_compose=True), there.intersection)

    assert chosen == found


def test_a_distribution_without_compose_is_an_error() -> None:
    with pytest.raises(EngineUnreachable, match="no package of Docker Compose"):
        packages(Plan(install_compose=True), frozenset().intersection)


def test_a_derivative_is_known_by_what_it_is_like(tmp_path: Path) -> None:
    path = tmp_path / "os-release"
    path.write_text('NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n', encoding="utf-8")

    assert {"linuxmint", "ubuntu", "debian"} == read_distribution(path)
    assert frozenset() == read_distribution(tmp_path / "absent")
