"""The exchange as a process: its settings, its deaths, its end."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exchange.settings import BadSettingError, Settings

SERVICES = Path(__file__).parents[1] / "services"


@pytest.mark.parametrize(
    "name, value",
    [
        ("EXCHANGE_SEED", "x"),
        ("EXCHANGE_SEED", "-1"),
        ("EXCHANGE_RATE", "5001"),
        ("EXCHANGE_RATE", "nan"),
        ("EXCHANGE_SYMBOLS", ""),
        ("EXCHANGE_SYMBOLS", "btcusdt"),
        ("EXCHANGE_SYMBOLS", "BTCUSDT,BTCUSDT"),
        ("EXCHANGE_RETENTION_SECONDS", "0"),
    ],
)
def test_a_bad_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSettingError, match=name):
        Settings.from_environment({name: value})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(state: Path, control_port: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(SERVICES),
        "EXCHANGE_STATE": str(state),
        "EXCHANGE_FEED_PORT": str(free_port()),
        "EXCHANGE_CONTROL_PORT": str(control_port),
        "EXCHANGE_RATE": "1000",
    }
    process = subprocess.Popen([sys.executable, "-m", "exchange"], env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def ledger_with_trades(port: int, beyond: int) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline:
            try:
                async with session.get(f"http://127.0.0.1:{port}/ledger") as response:
                    symbols: dict[str, Any] = json.loads(await response.read())["symbols"]
            except aiohttp.ClientError:
                symbols = {}
            if symbols and min(each["last_id"] for each in symbols.values()) > beyond:
                return symbols
            await asyncio.sleep(0.05)
    message = "no trades"
    raise TimeoutError(message)


async def test_ids_go_on_after_a_sigkill_and_a_sigterm_ends_promptly(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, port) as process:
        before = await ledger_with_trades(port, 10)
        process.kill()
    with running(tmp_path, port) as process:
        after = await ledger_with_trades(port, before["BTCUSDT"]["last_id"] + 10)
        assert all(each["retained_from_id"] == 1 for each in after.values())
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0
        assert time.monotonic() - asked < 3


def test_a_bad_setting_ends_the_process_with_code_2(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SERVICES), "EXCHANGE_RATE": "fast"}
    ended = subprocess.run(
        [sys.executable, "-m", "exchange"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "EXCHANGE_RATE='fast'" in ended.stderr
