"""Exchange and source say which bugs they were given, and refuse those that nobody knows."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from test_exchange_process import free_port

from binance_stream.app import http_application
from binance_stream.health import Health
from exchange.control import Control
from exchange.market import Market
from exchange.settings import Settings
from exchange.subscribers import Subscribers
from exchange.tape import Tape

SERVICES = Path(__file__).parents[1] / "services"


@pytest.mark.parametrize("service", ["exchange", "binance_stream"])
@pytest.mark.parametrize(
    "bugs, project, why",
    [
        ("source-no-gap-fil", "k2-lab", "source-no-gap-fil; there are"),
        ("source-no-gap-fill", "k2", "this is no lab: LAB_PROJECT (the Compose project) is 'k2'"),
    ],
)
def test_a_bug_that_is_refused_ends_the_service_with_code_2_and_one_line(
    service: str, bugs: str, project: str, why: str, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", service],
        env={
            **os.environ,
            "PYTHONPATH": str(SERVICES),
            "EXCHANGE_STATE": str(tmp_path),
            "LAB_BUGS": bugs,
            "LAB_PROJECT": project,
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert why in line
    assert "Traceback" not in ended.stderr


def test_the_source_warns_of_its_bug_and_says_what_is_wrong() -> None:
    away = {
        "EXCHANGE_WS": "ws://127.0.0.1:1",
        "EXCHANGE_REST": "http://127.0.0.1:1",
        "SCHEMA_REGISTRY_URLS": "http://127.0.0.1:1",
        "KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "PORT": str(free_port()),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "binance_stream"],
        env={
            **(os.environ | away),
            "PYTHONPATH": str(SERVICES),
            "LAB_BUGS": "source-no-gap-fill",
            "LAB_PROJECT": "k2-lab",
        },
        stderr=subprocess.PIPE,
        text=True,
    ) as source:
        assert source.stderr is not None
        line = source.stderr.readline()
        source.kill()
    assert "WARNING binance_stream: bug on purpose, source-no-gap-fill: does not fetch" in line


async def said_at_health(application: Any) -> object:
    async with TestClient[Any, Any](TestServer(application)) as client:
        return (await (await client.get("/health")).json())["bugs"]


@pytest.mark.parametrize("bugs", [[], ["source-no-gap-fill"]])
async def test_health_lists_the_bugs(bugs: list[str], tmp_path: Path) -> None:
    settings = Settings.from_environment({"EXCHANGE_STATE": str(tmp_path)})
    tape, subscribers = Tape(tmp_path, 7, ("AAAUSDT",), 30), Subscribers(7)
    market = Market(("AAAUSDT",), tape, 1.0, subscribers.publish)
    control = Control(settings, tape, market, subscribers, frozenset(bugs))

    assert await said_at_health(control.application()) == bugs
    assert await said_at_health(http_application(Health(), frozenset(bugs))) == bugs
