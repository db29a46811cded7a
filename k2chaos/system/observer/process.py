"""
``python -m k2chaos.system.observer.process FOLDER PIPELINE_FILE``: the observer itself.

Rules: it says ``observing`` once everything was looked at, and ``failed`` with the reason where it
cannot go on. It ends when its standard input does, and puts on disk what it has. It is in a session
of its own and deaf to the signals that end a terminal's processes. A thread that dies ends it: half
an observer would be taken for a whole one.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Final

from k2chaos.clock import SystemClock
from k2chaos.errors import K2ChaosError
from k2chaos.evidence.samples import SAMPLES_FILE, SampleWriter
from k2chaos.pipeline_file import load_pipeline
from k2chaos.system.observer.notebook import Notebook
from k2chaos.system.observer.observation import Observation, observe_stages

READY: Final = "observing"
FAILED: Final = "failed"


class _Outcome:
    """Why the observer ends before its time; the first reason stays."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.failure = ""

    def fail(self, reason: str) -> None:
        """End, and say why."""
        self.failure = self.failure or reason
        self.over.set()

    def fail_with_thread(self, arguments: threading.ExceptHookArgs) -> None:
        """A thread died of something that nobody expected."""
        threading.__excepthook__(arguments)
        self.fail(f"{arguments.exc_type.__name__}: {arguments.exc_value}")

    def end_with_input(self) -> None:
        """End when standard input does."""
        while os.read(0, 1024):
            pass
        self.over.set()


def main() -> str:
    """Sample until the run is over; why it failed, or nothing."""
    folder, path = Path(sys.argv[1]), Path(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    outcome, clock = _Outcome(), SystemClock()
    threading.excepthook = outcome.fail_with_thread
    pipeline = load_pipeline(path).pipeline
    notebook = Notebook(SampleWriter(folder / SAMPLES_FILE), outcome.fail, clock)
    observation = Observation(notebook, clock, outcome.over)
    observe_stages(observation, pipeline, clock)
    threading.Thread(target=outcome.end_with_input, daemon=True).start()
    observation.start()
    _say(READY)
    outcome.over.wait()
    observation.stop()
    return outcome.failure


def _say(word: str) -> None:
    """A run that is dead hears nothing more, which is no reason to end before all is on disk."""
    try:
        sys.stdout.write(f"{word}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good


if __name__ == "__main__":
    try:
        failure = main()
    except (K2ChaosError, OSError) as error:
        failure = f"{type(error).__name__}: {error}"
    if failure:
        _say(f"{FAILED} {' '.join(failure.split())}")
    # At once: threads that hang, and clients that would wait for them, are let lie.
    sys.stderr.flush()
    os._exit(bool(failure))
