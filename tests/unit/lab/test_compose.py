"""Compose: the environment it runs in, and what is read from its file."""

from pathlib import Path

import pytest

from k2chaos.errors import LabError, NotInLab
from k2chaos.system.lab.clone import Stack, find_stack
from k2chaos.system.lab.compose import environment
from k2chaos.system.lab.compose_file import Publication, read_services

STACK = Path(__file__).parents[3] / "stack"


def made(stack: Stack, environ: dict[str, str], cores: int = 8) -> dict[str, str]:
    return environment(stack, {"kafka": "k2-lab/kafka:1"}, "unix:///x.sock", cores, environ)


def test_images_and_engine_are_handed_on(tmp_path: Path) -> None:
    found = made(Stack(tmp_path), {"PATH": "/bin"})

    assert "k2-lab/kafka:1" == found["K2LAB_IMAGE_KAFKA"]
    assert "unix:///x.sock" == found["DOCKER_HOST"]
    assert "/bin" == found["PATH"]


def test_secrets_come_from_the_file_and_not_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("K2_API_KEY=right\n", encoding="utf-8")

    assert "K2_API_KEY" not in made(Stack(tmp_path), {"K2_API_KEY": "stale"})


def test_without_secrets_compose_can_still_be_run_to_take_the_lab_down(tmp_path: Path) -> None:
    assert "unset" == made(Stack(tmp_path), {})["POSTGRES_PASSWORD"]


def test_settings_of_another_project_do_not_leak_in(tmp_path: Path) -> None:
    assert "COMPOSE_FILE" not in made(Stack(tmp_path), {"COMPOSE_FILE": "other.yaml"})


def test_services_learn_the_labs_project_and_no_other(tmp_path: Path) -> None:
    """Only there may they have bugs; Compose 1.29 tells its file nothing of ``-p``."""
    found = made(Stack(tmp_path), {"COMPOSE_PROJECT_NAME": "other"})

    assert "k2-lab" == found["COMPOSE_PROJECT_NAME"]


@pytest.mark.parametrize("cores, cpus", [(1, "1.0"), (2, "2.0"), (16, "2.0")])
def test_the_broker_is_given_no_more_cores_than_there_are(
    tmp_path: Path, cores: int, cpus: str
) -> None:
    assert cpus == made(Stack(tmp_path), {}, cores)["K2LAB_BROKER_CPUS"]


def test_needs_and_ports_are_read_from_the_committed_file() -> None:
    found = {service.name: service for service in read_services(STACK / "compose.yaml")}

    assert ("kafka",) == found["schema-registry-2"].needs
    registry = Publication("schema-registry-2", "127.0.0.1", 8082)
    assert (registry,) == found["schema-registry-2"].ports
    assert () == found["postgres"].ports


def test_every_port_of_the_committed_file_is_on_loopback_only() -> None:
    published = [port for one in read_services(STACK / "compose.yaml") for port in one.ports]

    assert {"127.0.0.1"} == {port.address for port in published}


def test_a_compose_file_without_services_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text("volumes: {}\n", encoding="utf-8")

    with pytest.raises(LabError, match=r"compose\.yaml: cannot be used"):
        read_services(path)


def test_the_stack_is_found_from_anywhere_in_a_clone() -> None:
    assert STACK == find_stack(STACK / "services", package=Path("/")).folder
    assert STACK == find_stack(STACK.parent, package=Path("/")).folder


def test_outside_a_clone_it_is_found_beside_a_package_installed_in_place(tmp_path: Path) -> None:
    assert STACK == find_stack(tmp_path).folder


def test_outside_a_clone_the_lab_says_that_it_needs_one(tmp_path: Path) -> None:
    with pytest.raises(NotInLab, match="clone of the project"):
        find_stack(tmp_path, package=tmp_path / "site-packages" / "x.py")
