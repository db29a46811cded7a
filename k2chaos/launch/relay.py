"""
Signals on their way from whoever tells us to end to the one child that must.

The first SIGINT, SIGTERM or SIGHUP reaches the child as one SIGINT (chaostoolkit-lib 1.44
swallows SIGTERM inside a Python activity; a second Ctrl-C drops remaining rollbacks). Later ones
only say that healing is under way.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Any, Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class Relay:
    """Takes over the signals of this process for a block; the main thread's only."""

    is_interrupted: bool = False
    _child: "subprocess.Popen[bytes] | None" = None
    _was_sent: bool = False
    _previous: dict[signal.Signals, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Take the signals over; a SIGHUP that ``nohup`` made ignored stays ignored."""
        for number in _SIGNALS:
            previous = signal.getsignal(number)
            if number == signal.SIGHUP and previous == signal.SIG_IGN:
                continue
            self._previous[number] = previous
            signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def to(self, child: "subprocess.Popen[bytes]") -> Iterator[None]:
        """Send what comes to *child* for the block; what came just before it, too."""
        # Blocked, lest a signal between the two lines be sent twice.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._child = child
        self._was_sent = False
        if self.is_interrupted:
            self._send()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        try:
            yield
        finally:
            self._child = None

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.is_interrupted:
            _say(f"{name} again: healing is under way and is not cut short; please wait")
            return
        self.is_interrupted = True
        self._send()
        _say(f"{name}: ending the experiment and putting back what it broke")

    def _send(self) -> None:
        if self._child is not None and not self._was_sent:
            self._was_sent = True
            self._child.send_signal(signal.SIGINT)


def _say(text: str) -> None:
    # Written past the buffers: a handler may come in the middle of a write to them. A terminal
    # that is gone must not keep anyone from healing.
    with contextlib.suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), f"\nk2chaos: {text}\n".encode())
