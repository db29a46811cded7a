"""
The plug-in of pytest that keeps what a session did; `conftest.py` registers it.

Only end-to-end tests are kept, and nothing is written where tests are only collected.
"""

import time
from collections.abc import Generator, Sequence
from typing import Any

import pytest

from tests.e2e.metrics import MEASURED, RESOURCES, Measured, Recorder, Selection
from tools.e2e.origin import commit, now


class KeepMetrics:
    """Pytest's hooks, handed on to a recorder."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        self.recorder = recorder or Recorder(now(), commit=commit())
        self._began = time.monotonic()
        self._deselected = 0

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Count what was collected, but is not run."""
        self._deselected += sum(map(_is_ours, items))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep how every test ended, how long it took and what it measured."""
        report = yield
        if _is_ours(item) and not _is_rehearsal(item.config):
            measured = item.stash.get(MEASURED, Measured()).found
            self.recorder.test(report, measured, item.stash.get(RESOURCES, {}))
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Keep that the session came to its end, and which."""
        ours = [item for item in session.items if _is_ours(item)]
        if ours and not _is_rehearsal(session.config):
            files = sorted({item.nodeid.split("::")[0] for item in ours})
            selection = Selection(len(ours), len(ours) + self._deselected, files)
            seconds = time.monotonic() - self._began
            self.recorder.session(seconds, int(exitstatus), selection)


def _is_ours(item: Any) -> bool:
    return item.get_closest_marker("e2e") is not None


def _is_rehearsal(config: pytest.Config) -> bool:
    """Whether pytest runs no test, and calls them passed all the same."""
    option = config.option
    return bool(option.collectonly or option.setupplan or option.setuponly)
