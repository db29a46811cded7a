"""
How a run is told to end, and what may not be cut short by it.

The first SIGINT, SIGTERM or SIGHUP raises `KeyboardInterrupt` in the main thread, which Chaos
Toolkit understands; all waits end at once, in every thread. Inside `shield()` (injecting,
healing) the exception is held back until the step is done. Every further signal only says that
healing is under way: nothing but SIGKILL cuts a heal short.

SIGTERM is turned into the same exception because chaostoolkit-lib 1.44 swallows its own
`InterruptExecution` inside a Python activity and goes on.
"""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, Literal

from k2chaos.errors import Interrupted

logger = logging.getLogger("chaostoolkit")

Code = Literal["interrupted", "stop-condition", "stopped"]

STOP: Final = signal.SIGUSR1
"""What `k2chaos stop` sends to a run; as SIGINT, but the evidence says who asked."""

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class Interrupt:
    """
    One run's stop switch.

    Attributes:
        requested: Set once; whoever waits, waits on this.
        reason: What asked for the end.
        code: The same, in the verdict's words.
    """

    requested: threading.Event = field(default_factory=threading.Event)
    reason: str = ""
    code: Code = "interrupted"
    _depth: int = 0
    _pending: bool = False
    _is_installed: bool = False
    _is_announced: bool = False

    def install(self) -> None:
        """Take over the signals; call from the main thread."""
        for number in (*SIGNALS, STOP):
            signal.signal(number, self._on_signal)
        self._is_installed = True

    def request(self, reason: str, code: Code = "interrupted") -> None:
        """Ask the run to end; the first reason stays."""
        if not self.requested.is_set():
            self.reason, self.code = reason, code
            self.requested.set()

    def end(self, reason: str, code: Code) -> None:
        """Ask the run to end, from any thread: the main thread hears of it as of a signal."""
        if self.requested.is_set():
            return
        self.request(reason, code)
        logger.warning("ending the run: %s", reason)
        if self._is_installed:
            self._is_announced = True
            os.kill(os.getpid(), signal.SIGINT)

    def refuse_when_requested(self) -> None:
        """Raise `Interrupted` if the run was told to end: no further injection."""
        if self.requested.is_set():
            message = f"the run was told to end ({self.reason}); nothing further is injected"
            raise Interrupted(message)

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        """Hold a signal's exception back until the block is done (main thread only)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        self._raise_pending()

    @contextlib.contextmanager
    def exposed(self) -> Iterator[None]:
        """
        Let a signal end the block although a shield is around it (main thread only).

        Whoever must clean up does so outside of the block and inside the shield: there is then no
        moment between the two at which an exception could slip past the cleaning up.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        depth, self._depth = self._depth, 0
        try:
            self._raise_pending()
            yield
        finally:
            self._depth = depth

    def _raise_pending(self) -> None:
        if self._depth == 0 and self._pending:
            self._pending = False
            raise KeyboardInterrupt(self.reason)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._is_announced:
            self._is_announced, name = False, self.reason
        elif self.requested.is_set():
            logger.warning("%s again: healing is under way, and is not cut short", name)
            return
        elif number == STOP:
            name = "k2chaos stop"
            self.request("by `k2chaos stop`", "stopped")
        else:
            self.request(name)
        if self._depth:
            logger.warning("%s: ending as soon as this step is safe", name)
            self._pending = True
            return
        raise KeyboardInterrupt(name)
