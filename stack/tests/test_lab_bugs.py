"""Bugs on purpose are named, known, and obeyed by the service they are for."""

import importlib
import logging

import pytest

from lab_bugs import OutsideTheLabError, UnknownBugError, catalogue, seeded, warn


def test_nobody_has_a_bug_by_default() -> None:
    assert frozenset() == seeded("query_api", {})
    assert frozenset() == seeded("query_api", {"LAB_BUGS": " , "})


def test_a_service_obeys_its_own_bugs_only() -> None:
    environment = {"LAB_BUGS": "api-old-snapshot, source-no-gap-fill", "LAB_PROJECT": "k2-lab"}

    assert {"api-old-snapshot"} == seeded("query_api", environment)
    assert {"source-no-gap-fill"} == seeded("binance_stream", environment)
    assert frozenset() == seeded("consumer_crypto", environment)


def test_a_name_nobody_knows_is_refused_by_every_service() -> None:
    with pytest.raises(UnknownBugError, match="api-old-snapshto; there are api-always-healthy"):
        seeded("exchange", {"LAB_BUGS": "api-old-snapshot,api-old-snapshto"})


@pytest.mark.parametrize("project", ["", "k2", "k2-staging", "my-k2-lab", "K2-LAB"])
def test_outside_the_lab_every_service_refuses_to_have_bugs(project: str) -> None:
    environment = {"LAB_BUGS": "api-old-snapshot", "LAB_PROJECT": project}

    for service in ("exchange", "query_api"):
        with pytest.raises(OutsideTheLabError, match=f"this is no lab: .* is '{project}'"):
            seeded(service, environment)
    assert frozenset() == seeded("query_api", {"LAB_PROJECT": project})


@pytest.mark.parametrize("project", ["k2-lab", "k2-lab-two"])
def test_every_project_of_the_labs_may_have_them(project: str) -> None:
    environment = {"LAB_BUGS": "api-old-snapshot", "LAB_PROJECT": project}

    assert {"api-old-snapshot"} == seeded("query_api", environment)


def test_every_bug_belongs_to_a_service_and_says_what_goes_wrong() -> None:
    for name, bug in catalogue().items():
        assert {"service", "wrong"} == bug.keys(), name
        importlib.import_module(bug["service"])


def test_each_bug_is_warned_of_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    warn(logging.getLogger("service"), {"source-no-gap-fill", "api-old-snapshot"})

    wrong = {name: bug["wrong"] for name, bug in catalogue().items()}
    assert [
        ("service", logging.WARNING, f"bug on purpose, {name}: {wrong[name]}")
        for name in ("api-old-snapshot", "source-no-gap-fill")
    ] == caplog.record_tuples
