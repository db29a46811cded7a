"""Any mixture of anomalies on records of their own: exactly those are found, at their stage."""

from collections import Counter

import pytest

from k2chaos.judge.audit import Beside, audit
from k2chaos.judge.promise import breaks_promise
from k2chaos.judge.values import value_findings
from tests.fakes.mixtures import KINDS, PASSED, Mixture

HISTORIES = 1_000
AT_ONCE = 50


def found_in(mixture: Mixture) -> Counter[tuple[str, str]]:
    beside = Beside(
        at_deadline=mixture.deadline_tables(),
        letters=mixture.letter_table(),
        malformed=mixture.malformed_table(),
        committed={1: PASSED},
    )
    findings = [*audit(mixture.window, mixture.tables(), beside), *value_findings(beside)]
    found: Counter[tuple[str, str]] = Counter()
    for one in findings:
        found[one.anomaly, one.stage] += one.count
    return found


@pytest.mark.parametrize("first", range(0, HISTORIES, AT_ONCE))
def test_exactly_what_was_spoilt_is_found_at_its_stage(first: int) -> None:
    for seed in range(first, first + AT_ONCE):
        mixture = Mixture.draw(seed)

        assert mixture.expected == found_in(mixture), f"seed {seed}"


@pytest.mark.parametrize("first", range(0, HISTORIES, AT_ONCE))
def test_nothing_is_found_in_a_clean_history(first: int) -> None:
    for seed in range(first, first + AT_ONCE):
        assert not found_in(Mixture.draw(seed, is_clean=True)), f"seed {seed}"


@pytest.mark.parametrize("first", range(0, HISTORIES, AT_ONCE))
def test_what_is_delivered_again_breaks_no_promise_of_at_least_once(first: int) -> None:
    for seed in range(first, first + AT_ONCE):
        mixture = Mixture.draw(seed, is_clean=True)
        mixture.deliver_again(seed)

        found = audit(mixture.window, mixture.tables(), Beside(committed={1: PASSED}))

        assert {"duplicated"} == {one.anomaly for one in found}, f"seed {seed}"
        assert not any(breaks_promise(one, {"duplicates": "allowed"}) for one in found)


def test_the_histories_have_every_class_in_them() -> None:
    """At least the twelve classes of anomaly and stage that are asked for."""
    classes = {one for seed in range(HISTORIES) for one in Mixture.draw(seed).expected}

    assert {("diverged", "table"), *(one for one in KINDS if one[0] != "dropped")} == classes
