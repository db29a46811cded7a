"""
The end-to-end tests that there are, with their marks: by pytest's own collection.

Collection runs no fixture, so it needs neither lab nor engine. This module is the plug-in that
looks (``-p tools.e2e.collecting``), and the one who calls it.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

SUITE: Final = Path("tests/e2e")
_OPTION: Final = "--collected-into"


class CollectionError(Exception):
    """Pytest could not collect the suite; the message is what it said."""


@dataclass(frozen=True)
class Collected:
    """
    One test.

    Attributes:
        test: Its node id, with the case in brackets where it has several.
        covers: The paths it is marked with.
        is_scenario: Whether the core suite leaves it out.
    """

    test: str
    covers: tuple[str, ...] = ()
    is_scenario: bool = False

    @property
    def file(self) -> str:
        """Where it stands."""
        return self.test.split("::")[0]

    @property
    def function(self) -> str:
        """Its node id without the case."""
        return self.test.split("[")[0]


def core(tests: Iterable[Collected]) -> list[Collected]:
    """The tests of the core suite."""
    return [one for one in tests if not one.is_scenario]


def collect(suite: Path = SUITE) -> list[Collected]:
    """
    Every test of *suite*.

    Raises:
        CollectionError: A test cannot be imported, or is marked with an unknown path.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "tests.json"
        options = ["--collect-only", "-q", "-p", "no:cacheprovider", "-p", __name__]
        command = [sys.executable, "-m", "pytest", *options, _OPTION, str(file), str(suite)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0 or not file.exists():
            raise CollectionError(done.stdout + done.stderr)
        return [
            Collected(one["test"], tuple(one["covers"]), one["is_scenario"])
            for one in json.loads(file.read_text(encoding="utf-8"))
        ]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where to write what was collected."""
    parser.addoption(_OPTION, metavar="FILE", type=Path)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write what was collected."""
    file: Path | None = session.config.getoption(_OPTION)
    if file is not None:
        file.write_text(json.dumps([asdict(_collected(item)) for item in session.items]))


def _collected(item: pytest.Item) -> Collected:
    paths = [path for mark in item.iter_markers("covers") for path in mark.args]
    is_scenario = item.get_closest_marker("scenario") is not None
    return Collected(item.nodeid, tuple(dict.fromkeys(paths)), is_scenario)
