"""
What a person sees while something takes long.

On a terminal: one line per task that moves. Elsewhere: plain lines, when a task begins, every few
seconds while it says something, and when it ends; no control characters.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_PLAIN_SECONDS: Final = 5.0
_MEBIBYTE: Final = 1 << 20


class Task(Protocol):
    """One thing that takes long."""

    def say(self, line: str) -> None:
        """Show the newest line of what it does."""

    def expect(self, size: int) -> None:
        """Learn of *size* bytes more that are to come."""

    def advance(self, size: int) -> None:
        """Learn of *size* bytes more that have arrived."""

    def done(self, text: str = "done") -> None:
        """End it, with a last word."""


class Tasks(Protocol):
    """Where tasks are shown."""

    def task(self, name: str) -> Task:
        """Begin a task."""


@contextmanager
def tasks(console: Console) -> Iterator[Tasks]:
    """Show tasks on *console* while the block runs."""
    if not console.is_terminal:
        yield _PlainTasks(console)
        return
    columns = (
        SpinnerColumn(), TextColumn("{task.fields[title]:<14}"),
        BarColumn(bar_width=24), TextColumn("{task.fields[line]}", markup=False),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        yield _RichTasks(progress)


def say(console: Console, text: str) -> None:
    """Print one line as it is: no markup, no wrapping, no colours."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


class _RichTasks:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def task(self, name: str) -> "_RichTask":
        return _RichTask(self._progress, name)


class _RichTask:
    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._expected = 0
        self._lock = threading.Lock()
        self._id = progress.add_task(name, total=None, title=name, line="")

    def say(self, line: str) -> None:
        room = max(20, self._progress.console.width - 60)
        self._progress.update(self._id, line=line[:room])

    def expect(self, size: int) -> None:
        with self._lock:
            self._expected += size
            self._progress.update(self._id, total=self._expected)

    def advance(self, size: int) -> None:
        self._progress.advance(self._id, size)

    def done(self, text: str = "done") -> None:
        self._progress.update(self._id, total=1, completed=1)
        self.say(text)


class _PlainTasks:
    def __init__(self, console: Console) -> None:
        self._console = console

    def task(self, name: str) -> "_PlainTask":
        return _PlainTask(self._console, name)


class _PlainTask:
    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._begun = self._said = time.monotonic()
        self._expected = self._arrived = 0
        self._lock = threading.Lock()
        say(console, f"{name}: begun")

    def say(self, line: str) -> None:
        if time.monotonic() - self._said >= _PLAIN_SECONDS:
            self._said = time.monotonic()
            say(self._console, f"{self._name}: {line}")

    def expect(self, size: int) -> None:
        with self._lock:
            self._expected += size

    def advance(self, size: int) -> None:
        with self._lock:
            self._arrived += size
        self.say(f"{self._arrived / _MEBIBYTE:.0f} of {self._expected / _MEBIBYTE:.0f} MiB")

    def done(self, text: str = "done") -> None:
        say(self._console, f"{self._name}: {text} ({time.monotonic() - self._begun:.1f} s)")
