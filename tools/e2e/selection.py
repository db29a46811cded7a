"""
Which end-to-end tests a change needs; pure: file names in, tests and reasons out.

Rules: in doubt all of them, and the doubt is said. A changed test file needs its own tests. Where
anything of the stack was changed, the tests that are on no path of the data are run as well.
"""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from tools.e2e.collecting import Collected, core

FILE: Final = Path(__file__).with_name("changes.toml")
_TESTS: Final = "tests/e2e/test_*.py"


@dataclass(frozen=True)
class Rule:
    """What can be broken by files of some names (see ``changes.toml``)."""

    files: Sequence[str]
    but: Sequence[str] = ()
    paths: Sequence[str] = ()
    is_all: bool = False

    def fits(self, file: str) -> bool:
        """Whether it is about *file*."""
        return _is_any(file, self.files) and not _is_any(file, self.but)


@dataclass
class Selection:
    """
    What to run.

    Attributes:
        tests: Node ids without cases, in the suite's order.
        is_all: The whole core suite, whatever *tests* holds.
        reasons: A line each.
        unseen: How many files were changed that the suite could not see.
    """

    tests: list[str] = field(default_factory=list)
    is_all: bool = False
    reasons: list[str] = field(default_factory=list)
    unseen: int = 0


def read_rules(file: Path = FILE) -> list[Rule]:
    """The rules of *file*, in their order."""
    return [_rule(one) for one in tomllib.loads(file.read_text(encoding="utf-8"))["rule"]]


def _rule(entry: dict[str, Any]) -> Rule:
    but, is_all = entry.get("except", ()), entry.get("all", False)
    return Rule(entry["files"], but, entry.get("paths", ()), is_all)


def select(files: Iterable[str], rules: Sequence[Rule], tests: Sequence[Collected]) -> Selection:
    """What the change of *files* needs."""
    found = Selection()
    paths: set[str] = set()
    own: set[str] = set()
    for file in files:
        if fnmatchcase(file, _TESTS):
            own.add(file)
            found.reasons.append(f"{file}: its own tests")
        else:
            paths |= _paths(file, rules, found)
    _add_unmarked(found, paths, tests)
    alone = _by_scenarios_only(tests)
    wanted = [one for one in tests if one.file in own or (paths and _is_on(one, paths, alone))]
    found.tests = list(dict.fromkeys(one.function for one in wanted))
    return found


def _paths(file: str, rules: Sequence[Rule], found: Selection) -> set[str]:
    """The paths through *file*, and the reason said."""
    rule = next((one for one in rules if one.fits(file)), None)
    if rule is None:
        found.is_all = True
        found.reasons.append(f"{file}: no rule knows it (tools/e2e/changes.toml): all tests")
    elif rule.is_all:
        found.is_all = True
        found.reasons.append(f"{file}: everything depends on it: all tests")
    elif rule.paths:
        found.reasons.append(f"{file}: {', '.join(rule.paths)}")
    else:
        found.unseen += 1
    return set(rule.paths) if rule else set()


def _add_unmarked(found: Selection, paths: set[str], tests: Sequence[Collected]) -> None:
    """A path that no test is marked with: which test would see it is not known."""
    marked = {path for one in tests for path in one.covers}
    missing = sorted(paths - marked)
    if missing:
        found.is_all = True
        found.reasons.append(f"no test is marked with {', '.join(missing)}: all tests")


def _by_scenarios_only(tests: Sequence[Collected]) -> set[str]:
    """The paths that only scenarios go through."""
    by_core = {path for one in core(tests) for path in one.covers}
    return {path for one in tests for path in one.covers} - by_core


def _is_on(test: Collected, paths: set[str], alone: set[str]) -> bool:
    """A test of the core on any of *paths*, or on none at all; a scenario where it is *alone*."""
    if test.is_scenario:
        return not (paths & alone).isdisjoint(test.covers)
    return not test.covers or not paths.isdisjoint(test.covers)


def _is_any(file: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(file, pattern) for pattern in patterns)
