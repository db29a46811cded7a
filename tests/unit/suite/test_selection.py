"""Which tests a change needs: in doubt all of them."""

from pathlib import Path

import pytest

from tests.e2e.paths import PATHS
from tools.e2e.collecting import Collected
from tools.e2e.selection import Rule, Selection, read_rules, select

ROOT = Path(__file__).parents[3]
RULES = [
    Rule(["docs/*", "*.md"]),
    Rule(["sink/*"], but=["sink/all.py"], paths=["topic -> table"]),
    Rule(["api/*"], paths=["table -> API", "unmarked"]),
    Rule(["compose.yaml", "sink/all.py"], is_all=True),
]
TESTS = [
    Collected("tests/e2e/test_a.py::test_rows[1]", ("topic -> table",)),
    Collected("tests/e2e/test_a.py::test_rows[2]", ("topic -> table",)),
    Collected("tests/e2e/test_a.py::test_answers", ("table -> API",)),
    Collected("tests/e2e/test_b.py::test_limits"),
    Collected("tests/e2e/test_b.py::test_storm", ("topic -> table",), is_scenario=True),
]
ROWS, ANSWERS, LIMITS, STORM = dict.fromkeys(one.function for one in TESTS)


def chosen(*files: str) -> Selection:
    return select(files, RULES, TESTS)


def test_a_change_of_documents_needs_nothing() -> None:
    found = chosen("docs/a/b.md", "README.md")

    assert ([], False, 2) == (found.tests, found.is_all, found.unseen)


def test_a_change_of_a_service_needs_the_tests_on_its_paths_and_those_on_none() -> None:
    found = chosen("sink/deep/writer.py", "docs/x.md")

    assert ([ROWS, LIMITS], False) == (found.tests, found.is_all)
    assert ["sink/deep/writer.py: topic -> table"] == found.reasons


def test_a_change_of_a_test_file_needs_all_that_it_holds() -> None:
    assert [LIMITS, STORM] == chosen("tests/e2e/test_b.py").tests
    assert [ROWS, LIMITS, STORM] == chosen("tests/e2e/test_b.py", "sink/a.py").tests


@pytest.mark.parametrize(
    "file, reason",
    [
        ("something/new.py", "no rule knows it"),
        ("compose.yaml", "everything depends on it"),
        ("sink/all.py", "everything depends on it"),
        ("api/app.py", "no test is marked with unmarked"),
    ],
)
def test_in_doubt_all_tests_are_needed_and_it_is_said_why(file: str, reason: str) -> None:
    found = chosen(file)

    assert found.is_all
    assert reason in found.reasons[-1]


def test_every_service_and_every_image_has_a_rule() -> None:
    rules = read_rules()
    places = [ROOT / "stack" / name for name in ("services", "images")]
    things = [
        one.relative_to(ROOT)
        for place in places
        for one in place.iterdir()
        if one.name not in {"__pycache__", ".mypy_cache"}
    ]

    assert len(things) > 10
    for thing in things:
        file = str(thing / "file" if (ROOT / thing).is_dir() else thing)
        rule = next((one for one in rules if one.fits(file)), None)
        assert rule is not None, f"tools/e2e/changes.toml has no rule for {thing}"
        assert rule.is_all or rule.paths, f"a change of {thing} would need no test"


def test_every_file_of_the_house_has_a_rule() -> None:
    files = ["Makefile", "README.md", "pyproject.toml", "requirements.lock", "stack/compose.yaml"]
    files += ["tests/e2e/conftest.py", "tests/e2e/lab.py", "k2chaos/judge/audit.py", ".ci/run"]
    rules = read_rules()

    unseen = {"Makefile", "README.md", ".ci/run"}
    for file in files:
        rule = next(one for one in rules if one.fits(file))
        assert rule.is_all == (file not in unseen), file


def test_the_rules_know_the_paths_and_every_path_has_a_rule() -> None:
    named = {path for rule in read_rules() for path in rule.paths}

    assert PATHS.keys() == named
