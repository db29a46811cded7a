"""What is read from what a child left, and the exit code over several experiments."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from k2chaos.launch.outcome import (
    EXIT_CODES,
    Ending,
    Outcome,
    dry,
    exit_code,
    not_run,
    of_upstream,
    read_outcome,
)

WORDS = tuple(EXIT_CODES)
COMBINATIONS = [
    chosen
    for length in range(1, len(WORDS) + 1)
    for chosen in itertools.combinations(WORDS, length)
]


@pytest.mark.parametrize("words", COMBINATIONS, ids=["+".join(words) for words in COMBINATIONS])
def test_over_several_files_the_first_present_of_1_4_2_3_0_decides(words: tuple[str, ...]) -> None:
    present = {EXIT_CODES[word] for word in words}  # type: ignore[index]
    expected = next(code for code in (1, 4, 2, 3, 0) if code in present)

    for order in (words, words[::-1]):
        assert exit_code(Outcome("n", "c", word) for word in order) == expected  # type: ignore[arg-type]


def test_the_five_codes_are_those_of_the_design() -> None:
    assert EXIT_CODES == {"pass": 0, "fail": 1, "usage": 2, "inconclusive": 3, "crashed": 4}


def test_no_experiment_at_all_is_no_pass() -> None:
    assert exit_code([]) == 3


class Left:
    """What a child left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.report = folder / "report.json"

    def reported(self, **facts: Any) -> "Left":
        self.report.write_text(json.dumps(facts), encoding="utf-8")
        return self

    def judged(self, text: str | None = None, **facts: Any) -> "Left":
        body = json.dumps(facts) if text is None else text
        (self.folder / "verdict.json").write_text(body, encoding="utf-8")
        return self.reported(run=str(self.folder), usage_error=None)

    def read(self, code: int = 0) -> Outcome:
        return read_outcome("name", "claim", self.report, Ending(code, 2.0))


@pytest.fixture
def left(tmp_path: Path) -> Left:
    return Left(tmp_path)


@pytest.mark.parametrize("word", ["pass", "fail", "inconclusive"])
@pytest.mark.parametrize("code", [0, 1, -9])
def test_the_verdict_is_the_evidences_whatever_the_child_exited_with(
    left: Left, word: str, code: int
) -> None:
    assert left.judged(verdict=word).read(code).word == word


def test_what_the_verdict_tells_is_in_the_outcome(left: Left) -> None:
    outcome = left.judged(
        verdict="fail",
        claim="better",
        reasons=[{"code": "lost", "text": "3 records"}],
        records={"lost": 3, "duplicated": 0},
        freshness={"max": 5.6},
    ).read()

    assert outcome.claim == "better"
    assert [(reason.code, reason.text) for reason in outcome.reasons] == [("lost", "3 records")]
    assert (outcome.lost, outcome.duplicated, outcome.stalest) == (3, 0, 5.6)
    assert outcome.folder == str(left.folder)


def test_a_child_that_left_nothing_is_inconclusive(left: Left) -> None:
    outcome = left.read()

    assert outcome.word == "inconclusive"
    assert outcome.has_no_verdict


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"verdict": "green"}', '{"verdict": []}'])
def test_a_verdict_that_cannot_be_read_is_inconclusive(left: Left, text: str) -> None:
    outcome = left.judged(text).read()

    assert outcome.word == "inconclusive"
    assert outcome.has_no_verdict


def test_a_child_ended_by_a_signal_says_which(left: Left) -> None:
    assert "SIGKILL" in left.read(-9).reasons[0].text


def test_a_crash_without_verdict_is_a_crash(left: Left) -> None:
    assert left.read(4).word == "crashed"


def test_a_crash_after_a_pass_is_no_pass(left: Left) -> None:
    assert left.judged(verdict="pass").read(4).word == "crashed"


def test_a_crash_does_not_hide_a_fail(left: Left) -> None:
    assert left.judged(verdict="fail").read(4).word == "fail"


def test_a_usage_error_is_told(left: Left) -> None:
    outcome = left.reported(run=None, usage_error="the engine is down").read(1)

    assert outcome.word == "usage"
    assert outcome.reasons[0].text == "the engine is down"


def test_a_run_that_could_not_begin_is_inconclusive_and_says_why(left: Left) -> None:
    outcome = left.reported(not_begun="StageError: the topic hung").read(1)

    assert outcome.word == "inconclusive"
    assert not outcome.has_no_verdict
    assert "the topic hung" in outcome.reasons[0].text


def test_a_dry_run_is_never_a_pass_but_a_fail_stays_one() -> None:
    assert dry(Outcome("n", "c", "pass")).word == "inconclusive"
    assert dry(Outcome("n", "c", "fail")).word == "fail"


def test_what_was_not_run_is_inconclusive() -> None:
    assert not_run("n", "c").word == "inconclusive"


@pytest.mark.parametrize("code,word,kept", [(0, "pass", 0), (1, "fail", 1), (-9, "fail", 137)])
def test_upstreams_exit_code_is_kept(code: int, word: str, kept: int) -> None:
    outcome = of_upstream("n", "c", Ending(code, 1.0))

    assert (outcome.word, outcome.upstream_code) == (word, kept)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda children: st.one_of(
        st.lists(children, max_size=3), st.dictionaries(st.text(max_size=4), children, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(["verdict", "reasons", "records", "freshness", "claim"])


@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(verdict=st.dictionaries(KEYS, JSON))
def test_only_the_word_pass_is_a_pass(left: Left, verdict: dict[str, Any]) -> None:
    outcome = left.judged(json.dumps(verdict)).read()

    assert (outcome.word == "pass") == (verdict.get("verdict") == "pass")
