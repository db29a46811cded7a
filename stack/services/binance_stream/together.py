"""Running coroutines side by side, as one."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

_Result = TypeVar("_Result")


async def together(*coroutines: Coroutine[None, None, _Result]) -> list[_Result]:
    """Return what all of them return; raise what the first to fail raised, and end the others."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    if not tasks:
        return []
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return [task.result() for task in tasks]
