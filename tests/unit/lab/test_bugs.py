"""Bugs on purpose are checked before the lab is touched, and seen in what runs."""

from pathlib import Path

import pytest

from k2chaos.errors import LabError, UsageError
from k2chaos.system.lab.bugs import bugs_of, check_bugs
from k2chaos.system.lab.clone import Stack

STACK = Stack(Path(__file__).parents[3] / "stack")


def test_the_lab_has_no_bugs_unless_asked_for() -> None:
    assert () == check_bugs(STACK, {})


def test_bugs_of_the_catalogue_are_accepted() -> None:
    asked = {"LAB_BUGS": "sink-offsets-first, api-old-snapshot,"}

    assert ("api-old-snapshot", "sink-offsets-first") == check_bugs(STACK, asked)


def test_a_name_that_is_in_no_catalogue_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(UsageError, match=r"names sink-offset, .*sink-offsets-first.*Nothing was"):
        check_bugs(STACK, {"LAB_BUGS": "sink-offset"})


def test_a_catalogue_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"catalogue\.toml: cannot be used"):
        check_bugs(Stack(tmp_path), {"LAB_BUGS": "sink-offsets-first"})


def test_a_containers_bugs_are_read_from_its_environment() -> None:
    assert ("a", "b") == bugs_of(["PATH=/bin", "LAB_BUGS=b,a", "X=1"])
    assert () == bugs_of(["PATH=/bin", "LAB_BUGS="])
    assert () == bugs_of([])
