"""The critical paths and the tests on them: what is a mistake, and what the page shows."""

from pathlib import Path

import pytest

from tools.e2e.collecting import Collected, CollectionError, collect
from tools.e2e.coverage import Coverage, page
from tools.e2e.pages import write

TRUTHS = {"a -> b": "it arrives", "b -> c": "it goes on"}
ON_A = Collected("f.py::test_a", ("a -> b",))
ON_B = Collected("f.py::test_b", ("b -> c",))
SCENARIO_ON_B = Collected("s.py::test_storm", ("b -> c",), is_scenario=True)


def mistakes(*tests: Collected) -> list[str]:
    return Coverage(TRUTHS, tests).mistakes()


def test_a_path_with_a_test_each_is_no_mistake() -> None:
    assert [] == mistakes(ON_A, ON_B)


def test_a_path_that_no_test_covers_is_a_mistake() -> None:
    (mistake,) = mistakes(ON_A)

    assert "'b -> c' is covered by no test" in mistake


def test_a_scenario_covers_as_well() -> None:
    assert [] == mistakes(ON_A, SCENARIO_ON_B)


def test_a_test_that_covers_an_unknown_path_is_a_mistake() -> None:
    (mistake,) = mistakes(ON_A, ON_B, Collected("f.py::test_x", ("a -> z",)))

    assert "f.py::test_x covers 'a -> z'" in mistake


def test_the_page_shows_each_path_its_tests_with_their_cases_and_scenarios_apart() -> None:
    cases = [Collected(f"e/f.py::test_a[{one}]", ("a -> b",)) for one in "xy"]
    alone = Collected("e/f.py::test_limits")

    shown = page(Coverage(TRUTHS | {"c -> d": "and on"}, [*cases, SCENARIO_ON_B, alone]))

    assert "cover 2 of 3 paths, the core suite 1 of them" in shown
    assert "| a -> b | it arrives | 2 |  |" in shown
    assert "| b -> c | it goes on |  | 1 |" in shown
    assert "- `test_a` in f.py, 2 cases\n" in shown
    assert "- `test_storm` in s.py (scenario)\n" in shown
    assert "## c -> d\n\n- **No test.**\n" in shown
    assert "## Tests on none of them\n\n- `test_limits` in f.py\n" in shown


def test_collection_finds_marks_cases_and_scenarios_and_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  covers: x\n  scenario: x\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\npytestmark = pytest.mark.covers('a')\n"
        "@pytest.fixture\ndef lab():\n    raise RuntimeError\n"
        "@pytest.mark.covers('b', 'a')\n@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_x(lab, n):\n    pass\n"
        "@pytest.mark.scenario\ndef test_y(lab):\n    raise RuntimeError\n"
    )

    found = collect(tmp_path)

    assert [
        Collected("test_it.py::test_x[1]", ("b", "a")),
        Collected("test_it.py::test_x[2]", ("b", "a")),
        Collected("test_it.py::test_y", ("a",), is_scenario=True),
    ] == found
    assert ("test_it.py", "test_it.py::test_x") == (found[0].file, found[0].function)


def test_a_suite_that_cannot_be_collected_says_why(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import no_such_module\n")

    with pytest.raises(CollectionError, match="no_such_module"):
        collect(tmp_path)


def test_a_page_is_compared_or_written(tmp_path: Path) -> None:
    file = tmp_path / "new" / "page.md"

    assert ["run `make docs`" in one for one in write(file, "x", check=True)] == [True]
    assert not file.exists()
    assert [] == write(file, "x", check=False)
    assert [] == write(file, "x", check=True)
    assert 1 == len(write(file, "y", check=True))
