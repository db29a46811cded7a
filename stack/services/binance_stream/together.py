"""Running coroutines side by side, as one."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

_Result = TypeVar("_Result")


async def together(*coroutines: Coroutine[None, None, _Result]) -> list[_Result]:
    """Return what all of them return; raise what the first to fail raised, and end the others."""
    failures: list[BaseException] = []

    def note(task: asyncio.Task[_Result]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            failures.append(error)

    tasks = [asyncio.create_task(each) for each in coroutines]
    if not tasks:
        return []
    for task in tasks:
        task.add_done_callback(note)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if failures:
        raise failures[0]
    return [task.result() for task in tasks]
