"""
Work that may hang, done beside the event loop, with a limit on how long anybody waits for it.

A thread that hangs in a call to the store cannot be ended, only waited for no longer. So the work
waiting for a thread is limited, too: whoever comes when it is too much is refused at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from query_api.refusals import Code, RefusedError

P = ParamSpec("P")
T = TypeVar("T")

ANSWER_SECONDS: Final = 20.0
"""How long one who asks may be kept waiting: a silent store costs two attempts of 4 s for each
group of files, and a reader of the whole history wants time as well."""
_WAITING: Final = 8
"""So many wait for two threads; who comes then would most likely wait in vain."""


class Desk:
    """A few threads, and the queue before them."""

    def __init__(self, name: str, threads: int, seconds: float = ANSWER_SECONDS) -> None:
        """Keep nobody waiting for longer than *seconds*."""
        self._name = name
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(threads, name)
        self._inside = 0

    async def do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Do *work* in a thread.

        Raises:
            RefusedError: Too many wait already, or it took too long.
            Exception: Whatever *work* raises.
        """
        if self._inside >= _WAITING:
            reason = f"{self._inside} others wait for the {self._name} already"
            raise RefusedError(Code.BUSY, reason)
        self._inside += 1
        loop = asyncio.get_running_loop()
        doing = loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))
        doing.add_done_callback(self._ended)
        done, _ = await asyncio.wait({doing}, timeout=self._seconds)
        if not done:
            reason = f"the {self._name} took longer than {self._seconds:g} s"
            raise RefusedError(Code.TOO_SLOW, reason)
        return doing.result()

    def _ended(self, work: asyncio.Future[T]) -> None:
        self._inside -= 1
        # Asked for, so that one nobody waits for any longer is not reported as never retrieved.
        if not work.cancelled():
            work.exception()
