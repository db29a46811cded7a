"""
A session of the suite: alone on the lab, which it repairs before a test and leaves as it was found.

What was found is kept on disk until it is put back, so that a session that was killed is made good
by the next one.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest
from docker.errors import DockerException
from filelock import FileLock, Timeout
from requests.exceptions import RequestException

from k2chaos.evidence.state import state_directory, write_atomically
from tests.e2e.command import k2chaos
from tests.e2e.keeping import KeepMetrics
from tests.e2e.lab import Lab
from tests.e2e.metrics import RESOURCES, Recorder
from tests.e2e.preflight import NotUsableError
from tests.e2e.resources import Count

PATIENCE_SECONDS: Final = 45.0
"""How long a service may take to become healthy by itself before it is repaired."""
ARRIVAL_SECONDS: Final = 15.0
"""How long records may be on their way before they count as lost."""
_COUNT_EVERY_SECONDS: Final = 3.0


@dataclass(frozen=True)
class Found:
    """How the lab was: whether any of it ran, and the market's rate (trades a second)."""

    was_up: bool
    rate: float | None


@contextmanager
def alone(project: str) -> Iterator[Path]:
    """
    Hold the suite's own lock on the lab; yields the file for what was found.

    Raises:
        NotUsableError: Another session of the suite is at work on it.
    """
    folder = state_directory()
    lock = FileLock(folder / "locks" / f"{project}.e2e")
    try:
        with lock.acquire(timeout=0):
            yield folder / f"{project}.e2e.json"
    except Timeout:
        message = (
            "another session of the end-to-end tests is at work on this lab (or a process that it "
            "left behind); wait for its end"
        )
        raise NotUsableError(message) from None


def remember(file: Path, lab: Lab) -> Found:
    """How the lab is, or how a session that was killed had found it."""
    if file.exists():
        return Found(**json.loads(file.read_text(encoding="utf-8")))
    states = lab.states().values()
    found = Found(was_up=any(one.status == "running" for one in states), rate=lab.rate_or_none())
    write_atomically(file, json.dumps(asdict(found)))
    return found


def put_back(file: Path, lab: Lab, found: Found) -> None:
    """Leave the lab as it was found; an exchange that is away keeps the rate that it has."""
    with suppress(httpx.HTTPError):
        if found.rate is not None:
            lab.rate = found.rate
    if not found.was_up:
        k2chaos("lab", "down")
    file.unlink(missing_ok=True)


class Keeper:
    """Looks after the lab between tests: repairs it, and counts what the services use."""

    def __init__(self, lab: Lab, recorder: Recorder) -> None:
        """Begin to count."""
        self.lab = lab
        self.recorder = recorder
        self._newest = self._told = Count.now(lab)
        self._over = threading.Event()
        self._counting = threading.Lock()
        self._counter = threading.Thread(target=self._go_on_counting)
        self._counter.start()

    def close(self) -> None:
        """Stop counting."""
        self._over.set()
        self._counter.join()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Ask the engine nothing while the block runs: it will be away."""
        with self._counting:
            yield

    def repair(self, before_test: str) -> None:
        """Bring the lab up where it is not whole, and stop a market that was left running."""
        began = time.monotonic()
        trouble = ", ".join(self._lasting_troubles())
        if trouble:
            k2chaos("lab", "up")
            self.lab.await_healthy()
            self._note(before_test, trouble, "k2chaos lab up", began)
        if (rate := self.lab.rate) != (wanted := self.lab.expected_rate):
            self.lab.rate = wanted
            self._note(before_test, f"the market was left at {rate:g}/s", f"{wanted:g}/s", began)
        if not wanted and not self.lab.has_drained(ARRIVAL_SECONDS):
            # A test has found them missing; the next ones look at trades that come after them.
            self.lab.emit(len(self.lab.stages.newest_emitted()))
            self._note(before_test, "records do not arrive", "emitted new ones", began)

    def _note(self, before_test: str, trouble: str, repair: str, began: float) -> None:
        self.recorder.repair(before_test, trouble, repair, time.monotonic() - began)

    def _lasting_troubles(self) -> list[str]:
        """What does not go away by itself."""
        until = time.monotonic() + PATIENCE_SECONDS
        while (troubles := self.lab.troubles()) and time.monotonic() < until:
            if any("healthy" not in one and "starting" not in one for one in troubles):
                break  # down, frozen or missing: nobody will bring that back
            self.lab.clock.wait(0.5)
        return troubles

    def count(self, item: pytest.Item) -> None:
        """Leave with *item* what the services used between the counts before and within it."""
        newest = self._newest
        if newest.at > self._told.at:
            usage = self._told.until(newest)
            item.stash[RESOURCES] = {name: one.to_json() for name, one in usage.items()}
            self._told = newest

    def _go_on_counting(self) -> None:
        """Beside the tests: the engine takes a second to tell."""
        while not self._over.wait(_COUNT_EVERY_SECONDS):
            # Without an engine, or with a container that goes meanwhile, the next count tells.
            with self._counting, suppress(DockerException, RequestException):
                self._newest = Count.now(self.lab)


def recorder_of(config: pytest.Config) -> Recorder:
    """The recorder of this session."""
    plugin = config.pluginmanager.get_plugin("e2e-metrics")
    assert isinstance(plugin, KeepMetrics)
    return plugin.recorder
