"""The committed Compose file keeps what the lab promises of every service."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from k2chaos.system.lab.clone import Stack
from k2chaos.system.lab.recipes import read_recipes

STACK = Stack(Path(__file__).parents[3] / "stack")
DECLARED: dict[str, Any] = yaml.safe_load(STACK.compose_file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(DECLARED["services"]))
def test_every_service_is_limited_checked_restarted_and_confined(name: str) -> None:
    service = DECLARED["services"][name]

    assert "unless-stopped" == service["restart"]
    assert {"test", "interval", "timeout", "retries", "start_period"} == set(service["healthcheck"])
    assert service["mem_limit"]
    assert service["cpus"]
    assert service["read_only"]
    assert ["ALL"] == service["cap_drop"]
    assert not service.get("privileged")
    assert "container_name" not in service
    assert service["stop_grace_period"]
    assert service["logging"]["options"]["max-size"]


def test_every_service_that_may_have_bugs_is_told_the_project() -> None:
    told = {
        name: one["environment"].get("LAB_PROJECT")
        for name, one in DECLARED["services"].items()
        if "LAB_BUGS" in one["environment"]
    }

    assert {"exchange", "binance-stream", "consumer-crypto", "k2-query-api"} == told.keys()
    assert {"${COMPOSE_PROJECT_NAME:-}"} == {*told.values()}


def test_every_image_it_names_is_one_that_is_built() -> None:
    named = {one["image"].removeprefix("${").split(":")[0] for one in DECLARED["services"].values()}

    assert named <= {f"K2LAB_IMAGE_{name.upper()}" for name in read_recipes(STACK)}


def test_every_dependency_is_waited_for_until_it_is_healthy() -> None:
    conditions = {
        condition["condition"]
        for service in DECLARED["services"].values()
        for condition in service.get("depends_on", {}).values()
    }

    assert {"service_healthy"} == conditions


def test_no_image_declares_a_volume_for_every_container_would_leave_a_nameless_one_behind() -> None:
    declaring = [
        path.parent.name
        for path in STACK.images.glob("*/Dockerfile")
        if "\nVOLUME" in path.read_text(encoding="utf-8")
    ]

    assert [] == declaring
