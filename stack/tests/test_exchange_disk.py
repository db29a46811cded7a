"""A full or closed disk: said at /health, tried again, no id used twice or left out."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from source_fakes import until

from exchange.control import Control, stored_rate
from exchange.market import Market
from exchange.segment import Row
from exchange.settings import Settings
from exchange.subscribers import Subscribers
from exchange.tape import Tape

SYMBOLS = ("AAAUSDT", "BBBUSDT")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free; deleting the file makes room again."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 1_024):
                pass
        except OSError:
            pass
    return ballast


@asynccontextmanager
async def trading(
    state: Path, rate: float = 1_000.0
) -> AsyncIterator[tuple[Market, Tape, TestClient[Any, Any]]]:
    settings = Settings.from_environment({"EXCHANGE_STATE": str(state)})
    tape, subscribers = Tape(state, 7, SYMBOLS, 1_800), Subscribers(7)
    market = Market(SYMBOLS, tape, rate, subscribers.publish)
    control = Control(settings, tape, market, subscribers)
    async with TestClient(TestServer(control.application())) as client:
        task = asyncio.create_task(market.run())
        try:
            yield market, tape, client
        finally:
            task.cancel()
            tape.close()


async def health(client: TestClient[Any, Any]) -> tuple[int, str]:
    response = await client.get("/health")
    return response.status, str((await response.json())["reason"])


async def test_a_disk_that_fills_up_halts_the_market_until_there_is_room(disk: Path) -> None:
    async with trading(disk) as (market, tape, client):
        await until(lambda: market.emitted > 0)
        ballast = fill(disk)
        await until(lambda: market.tape_error is not None)
        status, reason = await health(client)
        assert status == 503
        assert "No space left" in reason or "fitted" in reason
        rate = await client.put("/rate", json={"trades_per_second": 1})
        assert (rate.status, market.rate) == (503, 1_000.0)
        before = market.emitted
        ballast.unlink()
        await until(lambda: market.emitted > before)
        assert (await health(client))[0] == 200
        emitted = {symbol: tape.history(symbol).last_id for symbol in SYMBOLS}
    again = Tape(disk, 7, SYMBOLS, 1_800)
    found = {symbol: again.history(symbol) for symbol in SYMBOLS}
    assert all(found[each].retained_from_id == 1 for each in SYMBOLS)
    assert all(found[each].last_id >= emitted[each] for each in SYMBOLS)
    again.close()


async def test_an_exchange_that_starts_on_a_full_disk_says_so_and_begins_when_there_is_room(
    disk: Path,
) -> None:
    async with trading(disk) as (market, tape, _):
        await until(lambda: market.emitted > 0)
        tape_ids = tape.history("AAAUSDT")
    ballast = fill(disk)
    async with trading(disk) as (market, tape, client):
        assert tape.history("AAAUSDT").last_id == tape_ids.last_id
        await until(lambda: market.tape_error is not None)
        assert (await health(client))[0] == 503
        ballast.unlink()
        await until(lambda: market.emitted > 0 and market.tape_error is None)
        assert (await health(client))[0] == 200


async def test_a_market_at_rest_recovers_too(disk: Path) -> None:
    async with trading(disk, rate=0.0):
        pass
    ballast = fill(disk)
    async with trading(disk, rate=0.0) as (market, _, client):
        await until(lambda: market.tape_error is not None)
        ballast.unlink()
        await until(lambda: market.tape_error is None)
        assert (await health(client))[0] == 200


async def test_a_disk_that_turns_read_only_is_named_and_recovers(disk: Path) -> None:
    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)

    async with trading(disk) as (market, _, _client):
        await until(lambda: market.emitted > 0)
    remount("ro")
    async with trading(disk) as (market, _, client):
        await until(lambda: market.tape_error is not None)
        assert "Read-only file system" in (await health(client))[1]
        remount("rw")
        await until(lambda: market.emitted > 0 and market.tape_error is None)
        assert (await health(client))[0] == 200


def test_a_rate_that_cannot_be_read_is_no_reason_not_to_start(tmp_path: Path) -> None:
    (tmp_path / "rate.json").mkdir()
    assert stored_rate(tmp_path, 100.0) == 100.0


def test_a_segment_that_cannot_be_deleted_is_tried_again_and_can_still_be_asked_for(
    tmp_path: Path,
) -> None:
    """A directory in the segment's place cannot be unlinked, not even by root."""
    tape = Tape(tmp_path, 7, SYMBOLS, 30)
    rows = [("AAAUSDT", each + 1, 1, each * 1_000) for each in range(40)]
    for row in rows:
        tape.append([Row(*row)])
        tape.turn(row[3])
    oldest = min(tmp_path.glob("*.tape"))
    first = tape.history("AAAUSDT").retained_from_id
    oldest.unlink()
    oldest.mkdir()
    for _ in range(2):
        with pytest.raises(OSError, match=oldest.name):
            tape.turn(60_000)
        assert tape.history("AAAUSDT").retained_from_id == first
    oldest.rmdir()
    tape.turn(60_000)
    assert tape.history("AAAUSDT").retained_from_id > first
