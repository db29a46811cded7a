"""Many users of the API at once, each asking one question after the other."""

import asyncio
import time
from dataclasses import dataclass, field

import aiohttp

from k2chaos.pipeline import Pipeline

_TIMEOUT_SECONDS = 15.0


@dataclass
class Seen:
    """
    What the users saw.

    Attributes:
        seconds: How long each answer took, to its last byte.
        statuses: The statuses that there were; 0 where there was no answer.
    """

    wall_seconds: float
    seconds: list[float] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    @property
    def requests_per_second(self) -> float:
        """Answers a second, over all users."""
        return len(self.seconds) / self.wall_seconds


async def crowd(pipeline: Pipeline, users: int, seconds: float, pause_seconds: float = 0.2) -> Seen:
    """
    Let *users* ask for the newest 200 trades for a while.

    Args:
        pause_seconds: Between an answer and the next question: users read what they got, and
            without a pause a crowd measures its own client.
    """
    api = pipeline.api
    assert api is not None
    url = f"{api.url}/v1/trades?limit=200"
    seen = Seen(seconds)
    until = time.monotonic() + seconds

    async def user(session: aiohttp.ClientSession, number: int) -> None:
        # Not all in the same instant: people do not click in step.
        await asyncio.sleep(pause_seconds * number / users)
        while time.monotonic() < until:
            began = time.monotonic()
            try:
                async with session.get(url) as answer:
                    await answer.read()
                    seen.statuses.add(answer.status)
            except (aiohttp.ClientError, TimeoutError):
                seen.statuses.add(0)
            seen.seconds.append(time.monotonic() - began)
            await asyncio.sleep(pause_seconds)

    connector = aiohttp.TCPConnector(limit=users)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    headers = {"X-API-Key": api.key}
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=headers
    ) as session:
        await asyncio.gather(*(user(session, number) for number in range(users)))
    return seen
