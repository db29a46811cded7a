"""
The success criteria and how each is judged; pure: it sees a snapshot and nothing else.

Rules: a criterion is shown only by figures, all of them within their limits, and by tests that all
ran and passed in the run of the snapshot. What is missing is said; it is never taken for well.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from tools.e2e.intervals import Rate

FILE: Final = Path(__file__).with_name("criteria.toml")
_FOLDER: Final = "tests/e2e/"


@dataclass(frozen=True)
class Figure:
    """
    One figure that has to be there, and the limits it has to keep.

    Attributes:
        name: Of the measurement; with ``*`` of many.
        says: What it is, for people.
        test: Pattern of the tests that measure it; none for what the suite keeps of itself.
        worst: Show only the largest of many.
    """

    name: str
    says: str
    test: str = ""
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    worst: bool = False

    def trouble(self, value: float) -> str:
        """What is wrong with *value*; nothing if it keeps the limits."""
        if self.at_most is not None and not value <= self.at_most:
            return f"{self.says}: {shown(value)} is more than {shown(self.at_most)}"
        if self.at_least is not None and not value >= self.at_least:
            return f"{self.says}: {shown(value)} is less than {shown(self.at_least)}"
        return ""


@dataclass(frozen=True)
class Criterion:
    """One line of the requirements, in their words, and what shows it (see ``criteria.toml``)."""

    group: str
    wanted: str
    tests: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    kept: Sequence[Figure] = ()
    files: Sequence[str] = ()
    computed: str = ""
    at_most: float = float("inf")
    at_least: float = 0.0
    runs: int = 0


@dataclass
class Judged:
    """
    What is known of one criterion.

    Attributes:
        measured: Figures, as people read them.
        missing: Why it is not shown; empty means that it is.
        tests: The tests that show it.
    """

    criterion: Criterion
    measured: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)

    @property
    def is_shown(self) -> bool:
        """Never without a figure."""
        return bool(self.measured) and not self.missing


def read_criteria(file: Path = FILE) -> list[Criterion]:
    """The criteria of *file*."""
    entries = tomllib.loads(file.read_text(encoding="utf-8"))["criterion"]
    return [_criterion(dict(entry)) for entry in entries]


def _criterion(entry: dict[str, Any]) -> Criterion:
    for name in ("figures", "kept"):
        entry[name] = tuple(Figure(**one) for one in entry.get(name, ()))
    return Criterion(computed=entry.pop("from", ""), **entry)


def matching(pattern: str, tests: Iterable[str]) -> list[str]:
    """The tests that *pattern* means; the case in brackets need not be in it."""
    names = {test: test.removeprefix(_FOLDER).split("[")[0] for test in tests}
    return [test for test, name in names.items() if fnmatchcase(name, pattern)]


def unknown_tests(criteria: Iterable[Criterion], tests: Sequence[str]) -> list[str]:
    """What is wrong with the patterns: tests that were renamed or are gone."""
    return [
        f"criteria.toml, {one.wanted!r}: no test is {pattern}"
        for one in criteria
        for pattern in dict.fromkeys([*one.tests, *(figure.test for figure in one.figures)])
        if not matching(pattern, tests)
    ]


def judge(criterion: Criterion, snapshot: Mapping[str, Any]) -> Judged:
    """What *snapshot* says of *criterion*."""
    judged = Judged(criterion)
    if criterion.tests:
        _judge_tests(judged, snapshot["tests"])
    for figure in criterion.figures:
        _judge_figure(judged, figure, list(_found(figure, snapshot["measured"])))
    for figure in criterion.kept:
        kept = snapshot["kept"].get(figure.name)
        _judge_figure(judged, figure, [] if kept is None else [("", float(kept))])
    if criterion.files:
        _judge_files(judged, snapshot["files"])
    if criterion.computed:
        _COMPUTED[criterion.computed](judged, snapshot)
    return judged


def _judge_tests(judged: Judged, outcomes: Mapping[str, str]) -> None:
    for pattern in judged.criterion.tests:
        found = matching(pattern, outcomes)
        judged.tests += [test for test in found if test not in judged.tests]
        if not found:
            judged.missing.append(f"no test is {pattern}")
    good = [test for test in judged.tests if outcomes[test] == "passed"]
    judged.measured.append(f"{len(good)} of {len(judged.tests)} tests passed")
    bad = [test for test in judged.tests if test not in good]
    judged.missing += [f"{test.split('::')[-1]}: {outcomes[test]}" for test in bad]


def _found(
    figure: Figure, measured: Mapping[str, Mapping[str, float]]
) -> Iterator[tuple[str, float]]:
    """The values of *figure*, each with its test's case or, of many names, with its name."""
    for test in matching(figure.test, measured):
        for name, value in measured[test].items():
            if fnmatchcase(name, figure.name):
                case = test.partition("[")[2].removesuffix("]")
                yield (name if "*" in figure.name else case), value


def _judge_figure(judged: Judged, figure: Figure, found: list[tuple[str, float]]) -> None:
    if not found:
        judged.missing.append(f"{figure.says}: not measured")
        return
    told = [max(found, key=lambda one: one[1])] if figure.worst else found
    values = ", ".join(
        f"{label}: {shown(value)}" if label else shown(value) for label, value in told
    )
    judged.measured.append(f"{figure.says} {values} {figure.unit}".strip())
    judged.missing += [trouble for _, value in told if (trouble := figure.trouble(value))]


def _judge_files(judged: Judged, files: Mapping[str, bool]) -> None:
    wanted = judged.criterion.files
    there = [file for file in wanted if files.get(file)]
    judged.measured.append(f"{len(there)} of {len(wanted)} are in the repository")
    judged.missing += [f"not there: {file}" for file in wanted if file not in there]


def _judge_coverage(judged: Judged, snapshot: Mapping[str, Any]) -> None:
    paths: Mapping[str, tuple[int, int]] = snapshot["coverage"]
    covered = [path for path, (tests, passed) in paths.items() if tests and tests == passed]
    judged.measured.append(f"{len(covered)} of {len(paths)} paths, with tests that all passed")
    for path, (tests, passed) in paths.items():
        if not tests:
            judged.missing.append(f"no test: {path}")
        elif passed < tests:
            judged.missing.append(f"{tests - passed} of {tests} tests did not pass: {path}")


def _judge_seconds(judged: Judged, snapshot: Mapping[str, Any]) -> None:
    seconds, most = float(snapshot["seconds"]), judged.criterion.at_most
    judged.measured.append(f"{seconds:.0f} s, the lab's start included where it was not up")
    if not seconds < most:
        judged.missing.append(f"{seconds:.0f} s is not less than {most:.0f} s")
    # A suite that fails at once is quick.
    bad = sum(outcome in {"failed", "error", "skipped"} for outcome in snapshot["tests"].values())
    if snapshot["exit_code"] or bad:
        judged.missing.append(f"{bad} tests did not pass, exit code {snapshot['exit_code']}")


def _judge_soak(judged: Judged, snapshot: Mapping[str, Any]) -> None:
    soak, wanted = snapshot["soak"], judged.criterion
    if soak is None:
        judged.missing.append("not measured: `make e2e-soak`")
        return
    runs, tests = Rate(*soak["runs"]), Rate(*soak["tests"])
    judged.measured += [f"tests x runs: {tests}", f"runs green: {runs}"]
    median, least, most = soak["seconds"]
    judged.measured.append(f"a run {median:.0f} s median, {least:.0f} to {most:.0f} s")
    if runs.of < wanted.runs:
        judged.missing.append(f"{runs.of} of {wanted.runs} runs made")
    if not tests.share >= wanted.at_least:
        judged.missing.append(f"fewer than {wanted.at_least:.1%} of the tests passed")


_COMPUTED: Final = {"coverage": _judge_coverage, "seconds": _judge_seconds, "soak": _judge_soak}


def shown(value: float) -> str:
    """Three digits that count, and no more."""
    if value == round(value) or abs(value) >= 100:  # noqa: PLR2004
        return f"{value:.0f}"
    return f"{value:.3g}"
