"""
Which test goes through which critical path: the page, and what is wrong with it.

Rules: a path without a test is a mistake, and so is a test on an unknown path. Scenarios, which the
core suite leaves out, are shown apart.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.e2e.collecting import Collected, core

PAGE: Final = Path("docs/phases/phase-7-e2e/coverage.md")


@dataclass(frozen=True)
class Coverage:
    """
    The paths and the tests on them.

    Attributes:
        paths: Path -> what has to be true of it.
        tests: Every test there is.
    """

    paths: Mapping[str, str]
    tests: Sequence[Collected]

    def on(self, path: str) -> list[Collected]:
        """The tests of the core suite that go through *path*."""
        return [one for one in core(self.tests) if path in one.covers]

    def scenarios_on(self, path: str) -> list[Collected]:
        """The scenarios that go through *path*."""
        return [one for one in self.tests if one.is_scenario and path in one.covers]

    @property
    def covered(self) -> list[str]:
        """The paths that some test covers."""
        return [path for path in self.paths if self.on(path) or self.scenarios_on(path)]

    def mistakes(self) -> list[str]:
        """What must not be, each with what to do."""
        return [*self._of_tests(), *self._of_paths()]

    def _of_tests(self) -> Iterator[str]:
        for test in self.tests:
            for path in test.covers:
                if path not in self.paths:
                    yield f"{test.test} covers {path!r}, which tests/e2e/paths.py does not know"

    def _of_paths(self) -> Iterator[str]:
        for path in self.paths:
            if path not in self.covered:
                yield f"{path!r} is covered by no test: mark one, or write one"


def page(coverage: Coverage) -> str:
    """The page of *coverage*."""
    covered, paths = coverage.covered, coverage.paths
    by_core = sum(bool(coverage.on(path)) for path in paths)
    head = [
        "# Critical data paths, and the tests that go through them",
        "",
        "Generated from the marks of the tests; `make docs` writes it anew, `make check` compares.",
        "",
        f"The tests cover {len(covered)} of {len(paths)} paths, the core suite {by_core} of them.",
        "",
        "| path | what has to be true | tests | scenarios |",
        "|---|---|---|---|",
    ]
    rows = [
        f"| {path} | {truth} | {len(coverage.on(path)) or ''} | "
        f"{len(coverage.scenarios_on(path)) or ''} |"
        for path, truth in paths.items()
    ]
    sections = [line for path in paths for line in _section(coverage, path)]
    return "\n".join([*head, *rows, "", *sections, *_on_none(coverage.tests)])


def _section(coverage: Coverage, path: str) -> Iterator[str]:
    yield from (f"## {path}", "")
    yield from _listed(coverage.on(path), "")
    yield from _listed(coverage.scenarios_on(path), " (scenario)")
    if path not in coverage.covered:
        yield "- **No test.**"
    yield ""


def _listed(tests: Iterable[Collected], suffix: str) -> Iterator[str]:
    """A line a test, whatever its cases."""
    cases: dict[str, list[str]] = {}
    for test in tests:
        cases.setdefault(test.function, []).append(test.test)
    for function, found in cases.items():
        file, _, name = function.partition("::")
        many = f", {len(found)} cases" if len(found) > 1 else ""
        yield f"- `{name}` in {Path(file).name}{many}{suffix}"


def _on_none(tests: Sequence[Collected]) -> Iterator[str]:
    """Tests that guard the stack, no path of the data."""
    others = [one for one in tests if not one.covers]
    if others:
        yield from ("## Tests on none of them", "")
        yield from _listed(core(others), "")
        yield from _listed([one for one in others if one.is_scenario], " (scenario)")
        yield ""
