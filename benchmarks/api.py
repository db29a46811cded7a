"""
The query API under load: rate, latency and errors by kind of question, and what one costs it.

``python benchmarks/api.py [--users 50] [--rate 100] [--seconds 60] [--url ...]`` on a running API,
with its key in ``K2_API_KEY`` (default: from the lab's ``stack/.env``); prints two tables and ends
with 1 if the mix misses what the lab promises.

First each kind is asked alone, slowly, for its cost: the CPU time of the API's process over the
phase, less what it uses when nobody asks. Then all users ask the mix. A user asks at fixed times,
and latency counts from the time a question was due: a slow answer makes the next one late, and
that is the API's fault.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import numpy as np

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT")
ALONE_RATE = 20.0
"""Questions per second while a kind is asked alone: slow enough that none waits for another."""
P95_SECONDS = 0.25
CPU_SECONDS = 0.020
"""Promises: p95 of the mix, and CPU of the newest 200 over all symbols, cold and warm."""
SLACK = 0.98
"""The last questions of a run are still under way when it ends."""


def _symbol() -> dict[str, str]:
    return {"symbol": random.choice(SYMBOLS)}


def _range() -> dict[str, str]:
    start = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=random.uniform(60, 300))
    times = {"start_time": start, "end_time": start + timedelta(seconds=30)}
    return {key: time.isoformat() for key, time in times.items()}


@dataclass(frozen=True)
class Kind:
    """A kind of question: its path, parameters anew each time, its share of the mix."""

    path: str
    query: Callable[[], Mapping[str, str]]
    share: int


KINDS = {
    "newest 200": Kind("/v1/trades", lambda: {"limit": "200"}, 35),
    # At an offset of its own each time, so that no answer can be one that was kept.
    "newest 200, cold": Kind(
        "/v1/trades", lambda: {"limit": "200", "offset": str(random.randrange(1, 2000))}, 10
    ),
    "newest of a symbol": Kind("/v1/trades", lambda: {**_symbol(), "limit": "100"}, 25),
    "range of a symbol": Kind("/v1/trades", lambda: {**_symbol(), **_range(), "limit": "1000"}, 10),
    "stats": Kind("/v1/stats", dict, 10),
    "symbols": Kind("/v1/symbols", dict, 10),
}


@dataclass
class Seen:
    """What became of the questions of one kind."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def row(self, name: str, during: float, cpu: float | None) -> str:
        """Tell it as a row of the table."""
        count = len(self.seconds) + self.errors.total()
        marks = np.percentile(self.seconds, [50, 95, 99]) * 1000 if self.seconds else [np.nan] * 3
        told = " ".join(f"{mark:7.1f}" for mark in marks)
        errors = " ".join(f"{what}:{n}" for what, n in sorted(self.errors.items())) or "-"
        return f"{name:19} {count / during:7.1f} {told} {_milliseconds(cpu):>8} {errors}"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.1f}"


class Load:
    """Users of one API."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def cpu_seconds(self) -> float:
        """Read how much CPU time the API's process has used since it was started."""
        async with self._session.get("/metrics") as response:
            text = await response.text()
        name = "process_cpu_seconds_total "
        return next(float(line[len(name) :]) for line in text.splitlines() if line.startswith(name))

    async def idle(self, seconds: float) -> float:
        """Measure the CPU seconds that a second costs when nobody asks."""
        before = await self.cpu_seconds()
        await asyncio.sleep(seconds)
        return (await self.cpu_seconds() - before) / seconds

    async def run(
        self, shares: Mapping[str, int], users: int, rate: float, seconds: float
    ) -> dict[str, Seen]:
        """Let *users* ask together *rate* questions a second, of kinds by *shares*."""
        seen = {name: Seen() for name in shares}
        start, step = time.perf_counter(), users / rate
        dues = (start + step * user / users for user in range(users))
        until = start + seconds
        await asyncio.gather(*(self._user(seen, shares, due, step, until) for due in dues))
        return seen

    async def _user(
        self,
        seen: dict[str, Seen],
        shares: Mapping[str, int],
        due: float,
        step: float,
        until: float,
    ) -> None:
        names, weights = list(shares), list(shares.values())
        while due < until:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            (name,) = random.choices(names, weights)
            await self._ask(KINDS[name], seen[name], due)
            due += step

    async def _ask(self, kind: Kind, seen: Seen, due: float) -> None:
        try:
            async with self._session.get(kind.path, params=kind.query()) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            seen.errors[type(error).__name__] += 1
            return
        if response.ok:
            seen.seconds.append(time.perf_counter() - due)
        else:
            seen.errors[str(response.status)] += 1


@asynccontextmanager
async def _load(url: str, key: str) -> AsyncIterator[Load]:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(
        url, headers={"X-API-Key": key}, connector=connector, timeout=timeout
    ) as session:
        yield Load(session)


async def _alone(load: Load, seconds: float, rest: float) -> dict[str, float]:
    """Measure the CPU seconds of one question of each kind, and print them."""
    print(f"one kind at a time, {ALONE_RATE:g}/s; the process at rest uses {rest * 100:.1f} % CPU")
    print(_HEAD)
    costs = {}
    for name in KINDS:
        before = await load.cpu_seconds()
        started = time.perf_counter()
        seen = (await load.run({name: 1}, 2, ALONE_RATE, seconds))[name]
        during = time.perf_counter() - started
        used = await load.cpu_seconds() - before - rest * during
        costs[name] = used / max(1, len(seen.seconds) + seen.errors.total())
        print(seen.row(name, during, costs[name]), flush=True)
    return costs


async def _mixed(load: Load, users: int, rate: float, seconds: float) -> tuple[Seen, float]:
    """Let all users ask the mix, print what became of it, and return the sum and its rate."""
    before = await load.cpu_seconds()
    started = time.perf_counter()
    shares = {name: kind.share for name, kind in KINDS.items()}
    seen = await load.run(shares, users, rate, seconds)
    during = time.perf_counter() - started
    used = await load.cpu_seconds() - before
    both = Seen()
    for one in seen.values():
        both.seconds += one.seconds
        both.errors += one.errors
    count = len(both.seconds) + both.errors.total()
    print(f"\n{users} users, {rate:g}/s asked for, over {during:.0f} s; CPU {used / during:.0%}")
    print(_HEAD)
    for name, one in seen.items():
        print(one.row(name, during, None))
    print(both.row("all", during, used / count))
    return both, len(both.seconds) / during


_HEAD = f"{'kind':19} {'rate/s':>7} {'p50 ms':>7} {'p95 ms':>7} {'p99 ms':>7} {'CPU ms':>8} errors"


async def main(wanted: argparse.Namespace) -> int:
    async with _load(wanted.url, wanted.key) as load:
        costs = await _alone(load, wanted.alone, await load.idle(wanted.alone))
        both, rate = await _mixed(load, wanted.users, wanted.rate, wanted.seconds)
    p95 = float(np.percentile(both.seconds, 95)) if both.seconds else float("inf")
    dearest = max(costs["newest 200"], costs["newest 200, cold"])
    misses = {
        f"{rate:.1f} answers/s": rate < wanted.rate * SLACK,
        f"p95 {p95 * 1000:.0f} ms": p95 > P95_SECONDS,
        f"{dearest * 1000:.1f} ms CPU for the newest 200": dearest > CPU_SECONDS,
        f"{both.errors.total()} errors": bool(both.errors),
    }
    missed = [what for what, is_missed in misses.items() if is_missed]
    print(f"\nmissed: {', '.join(missed)}" if missed else "\nall promises kept")
    return int(bool(missed))


def _key() -> str:
    """Find the lab's key."""
    if key := os.environ.get("K2_API_KEY"):
        return key
    lines = Path("stack/.env").read_text(encoding="utf-8").splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("K2_API_KEY="))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the query API under load.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the API is")
    parser.add_argument("--users", type=int, default=50, help="who ask at the same time")
    parser.add_argument("--rate", type=float, default=100.0, help="questions per second of all")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they ask the mix")
    parser.add_argument("--alone", type=float, default=8.0, help="seconds per kind alone")
    arguments = parser.parse_args()
    arguments.key = _key()
    sys.exit(asyncio.run(main(arguments)))
