"""Every rule of the verdict, seen to speak and seen to be silent."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from k2chaos.evidence.finding import Finding
from k2chaos.evidence.folder import AUDIT
from k2chaos.evidence.ledger import LedgerEntry, LedgerReading
from k2chaos.evidence.reading import RunEvidence
from k2chaos.evidence.records import RECORDS, Window
from k2chaos.evidence.samples import Sample
from k2chaos.judge.audit_rules import AUDIT_RULES
from k2chaos.judge.rules import RULES
from k2chaos.judge.verdict import Judgement, judge
from tests.fakes.observed import table_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOST = Finding("lost", "table", "sink", 3)
DUPLICATED = Finding("duplicated", "table", "sink", 2)

Change = Callable[["Story"], None]


class Story:
    """A run in which all went well, to be spoilt."""

    def __init__(self) -> None:
        self.run: dict[str, Any] = {
            "pipeline": {
                "promise": {"loss": "none", "duplicates": "none", "order": "per-key"},
                "budgets": {"minimum_records": 200},
                "stages": ["exchange", "api"],
            }
        }
        self.journal: dict[str, Any] = {
            "status": "completed",
            "experiment": {
                "method": [
                    {"provider": {"module": "k2chaos.actions", "func": "pause"}},
                    {"provider": {"module": "k2chaos.actions", "func": "await_recovery"}},
                ]
            },
            "steady_states": {"before": met(), "after": met()},
            "run": [
                {"activity": {"name": "freeze"}, "status": "succeeded"},
                {"activity": {"name": "await-recovery"}, "status": "succeeded"},
            ],
            "rollbacks": [],
        }
        self.events: list[dict[str, Any]] = [
            {"event": "recovery", "recovered": True, "at": NOW.isoformat()}
        ]
        self.ledger = [entry("tried", "active", "healed")]
        self.window: Window | None = Window({"A": 0}, {"A": 1000})
        self.records = {"api": RECORDS.empty_table()}
        self.damage: list[str] = []
        self.findings: list[Finding] = []
        self.samples: pa.Table | None = None

    def judged(self) -> Judgement:
        evidence = RunEvidence(
            self.run,
            self.journal,
            self.events,
            LedgerReading(tuple(self.ledger), ()),
            self.window,
            self.records,
            tuple(self.damage),
            samples=self.samples,
        )
        return judge(evidence, self.findings)

    def happens(self, event: str, **facts: Any) -> None:
        self.events.append({"event": event, "at": NOW.isoformat(), **facts})


def met(*probes: Mapping[str, Any]) -> dict[str, Any]:
    fine = {"activity": {"name": "fine"}, "status": "succeeded", "tolerance_met": True}
    return {"steady_state_met": not probes, "probes": [fine, *probes]}


def unmet(status: str = "succeeded", exception: Sequence[str] = ()) -> dict[str, Any]:
    activity = {"name": "fresh", "tolerance": 0}
    return met(
        {
            "activity": activity,
            "status": status,
            "tolerance_met": False,
            "output": 42,
            "exception": list(exception),
        }
    )


def entry(*events: str) -> LedgerEntry:
    lines = [{"event": event} for event in events]
    return LedgerEntry("pause-1", "run", "lab", {"kind": "pause"}, NOW, lines)


def steady(story: Story, when: str, state: Mapping[str, Any]) -> None:
    story.journal["steady_states"][when] = state


def during(story: Story, *states: Mapping[str, Any]) -> None:
    story.journal["steady_states"]["during"] = [None, *states]


def _without_fault(story: Story) -> None:
    story.ledger.clear()
    story.journal["experiment"]["method"] = []


UNAVAILABLE = ["chaoslib.exceptions.ActivityFailed: k2chaos.errors.StageUnavailable: refused\n"]
BLIND = ["chaoslib.exceptions.ActivityFailed: k2chaos.errors.StageBlind: wrong key\n"]

SPOILT: list[tuple[str, str, Change]] = [
    ("promise-broken", "fail", lambda s: s.findings.append(LOST)),
    ("promise-broken", "fail", lambda s: s.findings.append(DUPLICATED)),
    ("budget-exceeded", "fail", lambda s: steady(s, "after", unmet())),
    ("stage-unavailable", "fail", lambda s: steady(s, "after", unmet("failed", UNAVAILABLE))),
    ("stage-unavailable", "fail", lambda s: s.happens("stage-unavailable", stage="api")),
    (
        "never-recovered",
        "fail",
        lambda s: s.happens("recovery", recovered=False, deadline_seconds=120.0, missing="x"),
    ),
    ("budget-exceeded", "fail", lambda s: during(s, met(), unmet())),
    ("stage-unavailable", "fail", lambda s: during(s, unmet("failed", UNAVAILABLE))),
    ("probe-blind", "inconclusive", lambda s: during(s, unmet("failed", BLIND))),
    ("evidence-damaged", "inconclusive", lambda s: s.damage.append("journal.json: gone")),
    ("interrupted", "inconclusive", lambda s: s.happens("interrupted", reason="SIGTERM")),
    (
        "stop-condition",
        "inconclusive",
        lambda s: s.happens("interrupted", reason="stale", code="stop-condition"),
    ),
    (
        "stopped",
        "inconclusive",
        lambda s: s.happens("interrupted", reason="by somebody", code="stopped"),
    ),
    ("interrupted", "inconclusive", lambda s: s.journal.update(status="interrupted")),
    ("interrupted", "inconclusive", lambda s: s.journal.update(status="aborted")),
    ("dry-run", "inconclusive", lambda s: s.run.update(dry="activities")),
    ("baseline-unmet", "inconclusive", lambda s: steady(s, "before", unmet())),
    ("baseline-unmet", "inconclusive", lambda s: steady(s, "before", unmet("failed", BLIND))),
    ("baseline-unmet", "inconclusive", lambda s: s.happens("baseline-unmet", text="paused")),
    ("fault-not-injected", "inconclusive", lambda s: s.ledger.clear()),
    ("fault-unwitnessed", "inconclusive", lambda s: _replace(s, "tried", "failed", "healed")),
    ("fault-ended-early", "inconclusive", lambda s: s.happens("fault", ended_early=True)),
    ("activity-failed", "inconclusive", lambda s: s.journal["run"][0].update(status="failed")),
    ("activity-failed", "inconclusive", lambda s: s.journal["run"][0].pop("status")),
    (
        "activity-failed",
        "inconclusive",
        lambda s: s.journal["rollbacks"].append({"activity": {"name": "r"}, "status": "failed"}),
    ),
    ("probe-blind", "inconclusive", lambda s: steady(s, "after", unmet("failed", BLIND))),
    ("hypothesis-untested", "inconclusive", lambda s: steady(s, "after", {})),
    ("not-audited", "inconclusive", lambda s: s.happens("not-audited", stage="topic")),
    ("fault-open", "inconclusive", lambda s: _replace(s, "tried", "active")),
    ("too-few-records", "inconclusive", lambda s: setattr(s, "window", Window({}, {"A": 199}))),
    ("too-few-records", "inconclusive", lambda s: setattr(s, "window", None)),
    ("not-audited", "inconclusive", lambda s: s.records.clear()),
    ("hypothesis-untested", "inconclusive", lambda s: steady(s, "before", {})),
    (
        "hypothesis-untested",
        "inconclusive",
        lambda s: s.journal["experiment"].update(
            {"steady-state-hypothesis": {"probes": [{"name": "fine"}, {"name": "never tested"}]}}
        ),
    ),
    (
        "hypothesis-untested",
        "inconclusive",
        lambda s: steady(s, "after", {**met(), "steady_state_met": False}),
    ),
    (
        "method-cut-short",
        "inconclusive",
        lambda s: s.journal["experiment"].update(rollbacks=[{"name": "undo"}]),
    ),
    ("hypothesis-untested", "inconclusive", lambda s: steady(s, "after", {"probes": []})),
    ("nothing-proven", "inconclusive", _without_fault),
    (
        "fault-outside-method",
        "inconclusive",
        lambda s: s.journal["experiment"].update(rollbacks=s.journal["experiment"]["method"][:1]),
    ),
    ("method-cut-short", "inconclusive", lambda s: s.journal["run"].pop()),
    ("window-broken", "inconclusive", lambda s: setattr(s, "window", Window({"A": 9}, {"B": 999}))),
    (
        "window-broken",
        "inconclusive",
        lambda s: setattr(s, "window", Window({"A": 9, "B": 0}, {"A": 8, "B": 999})),
    ),
    ("unsupported", "inconclusive", lambda s: s.happens("unsupported", text="no exchange")),
    ("recovery-budget", "fail", lambda s: _held(s, fresh_seconds=5.0)),
    ("recovery-unmeasured", "inconclusive", lambda s: _held(s, flow_seconds=5.0)),
    ("observer-blind", "inconclusive", lambda s: s.happens("observer-failed", reason="killed")),
    ("clock-stepped", "inconclusive", lambda s: _looked(s, 0.0, 1.0, 0.4)),
]


def _held(story: Story, **budgets: float) -> None:
    """A fault, and a recovery from it that took 6 s."""
    now = NOW.isoformat()
    story.events.clear()
    story.happens("fault", injected_at=now, healed_at=now)
    story.happens("recovery", recovered=True, called_at=now, fresh_seconds=6.0, budgets=budgets)


def _looked(story: Story, *moments: float) -> None:
    """Attempts at the API, in the order in which they were written."""
    times = (NOW + timedelta(seconds=moment) for moment in moments)
    story.samples = table_of(Sample(at, "api", "attempt_seconds", 0.01) for at in times)


def _replace(story: Story, *events: str) -> None:
    story.ledger[:] = [entry(*events)]


def test_a_run_in_which_all_went_well_passes() -> None:
    assert Judgement("pass", ()) == Story().judged()


@pytest.mark.parametrize("code, outcome, change", SPOILT)
def test_what_went_wrong_is_named_and_is_no_pass(code: str, outcome: str, change: Change) -> None:
    story = Story()
    change(story)

    judgement = story.judged()

    assert outcome == judgement.outcome
    assert code in {reason.code for reason in judgement.reasons}


def test_every_rule_was_seen_to_speak() -> None:
    assert {rule.code for rule in RULES} == {code for code, _, _ in SPOILT}


def test_every_rule_has_a_name_of_its_own_and_says_what_it_means() -> None:
    assert len(RULES) == len({rule.code for rule in RULES})
    assert [] == [rule.code for rule in RULES if not rule.means.endswith(".")]
    assert "pass" not in {rule.outcome for rule in RULES}


def test_fail_beats_inconclusive_and_both_are_told() -> None:
    story = Story()
    story.findings.append(LOST)
    story.happens("interrupted", reason="SIGINT")

    judgement = story.judged()

    assert "fail" == judgement.outcome
    assert {"promise-broken", "interrupted"} == {reason.code for reason in judgement.reasons}


def test_duplicates_that_the_pipeline_never_promised_to_avoid_are_no_failure() -> None:
    story = Story()
    story.run["pipeline"]["promise"]["duplicates"] = "allowed"
    story.findings.append(DUPLICATED)

    assert "pass" == story.judged().outcome


@pytest.mark.parametrize("finding", [DUPLICATED, Finding("reordered", "topic", "source", 2)])
def test_a_promise_that_nobody_limited_is_whole(finding: Finding) -> None:
    story = Story()
    story.run["pipeline"]["promise"] = {}
    story.findings.append(finding)

    assert "fail" == story.judged().outcome


def test_damage_before_the_first_fault_is_never_blamed_on_the_fault() -> None:
    story = Story()
    story.ledger.clear()
    story.findings.append(LOST)

    judgement = story.judged()

    assert "inconclusive" == judgement.outcome
    assert "baseline-unmet" in {reason.code for reason in judgement.reasons}


def test_a_probe_that_deviated_again_and_again_is_told_once() -> None:
    story = Story()
    during(story, unmet(), unmet(), unmet("failed", BLIND))

    told = [(one.code, one.text.partition(",")[0]) for one in story.judged().reasons]

    assert [("budget-exceeded", "during the method"), ("probe-blind", "during the method")] == told


def test_an_empty_journal_never_passes() -> None:
    story = Story()
    story.journal.clear()

    assert "pass" != story.judged().outcome


def test_a_fault_that_a_reference_repeats_is_a_declared_fault() -> None:
    story = Story()
    story.journal["experiment"]["method"][0]["name"] = "freeze"
    story.journal["experiment"]["method"].append({"type": "action", "ref": "freeze"})
    story.journal["run"].append({"activity": {"name": "freeze"}, "status": "succeeded"})

    judgement = story.judged()

    (reason,) = judgement.reasons
    assert "fault-not-injected" == reason.code
    assert "1 of 2 declared faults were not injected" == reason.text


def test_a_fault_that_a_rollback_repeats_by_reference_stands_outside_the_method() -> None:
    story = Story()
    story.journal["experiment"]["method"][0]["name"] = "freeze"
    story.journal["experiment"]["rollbacks"] = [{"ref": "freeze"}]
    story.journal["rollbacks"] = [{"activity": {"name": "freeze"}, "status": "succeeded"}]

    assert ["fault-outside-method"] == [one.code for one in story.judged().reasons]


def test_as_many_records_as_the_pipeline_file_asks_for_are_enough() -> None:
    story = Story()
    story.window = Window({"A": 0}, {"A": 200})

    assert () == story.judged().reasons


def test_rollbacks_that_were_to_run_only_after_a_deviation_need_not_run() -> None:
    story = Story()
    story.journal["experiment"] |= {
        "rollbacks": [{"name": "undo"}],
        "runtime": {"rollbacks": {"strategy": "deviated"}},
    }

    assert () == story.judged().reasons


def test_an_order_that_the_pipeline_never_promised_is_no_failure() -> None:
    story = Story()
    story.findings.append(Finding("reordered", "topic", "source", 2))
    assert "fail" == story.judged().outcome

    story.run["pipeline"]["promise"]["order"] = "none"
    assert "pass" == story.judged().outcome


@pytest.mark.parametrize(
    "when, expected", [("before", "kafka is paused"), ("after", "api is gone")]
)
def test_what_a_probe_saw_is_told_beside_what_it_returned(when: str, expected: str) -> None:
    story = Story()
    state = unmet()
    state["probes"][1]["activity"]["provider"] = {"func": "impaired_services"}
    steady(story, when, state)
    for troubles in (["kafka is paused"], ["api is gone"]):
        story.happens("measured", probe="impaired_services", troubles=troubles)

    (reason,) = story.judged().reasons

    assert reason.text.endswith(f"42 is outside 0 ({expected})")


def test_a_probe_that_saw_no_trouble_is_told_without() -> None:
    story = Story()
    state = unmet()
    state["probes"][1]["activity"]["provider"] = {"func": "lost_records"}
    steady(story, "after", state)
    story.happens("measured", probe="lost_records")

    (reason,) = story.judged().reasons

    assert reason.text.endswith("42 is outside 0")


AUDITED: list[tuple[str, str, Change]] = [
    ("promise-broken", "fail", lambda s: s.findings.append(LOST)),
    ("stage-unavailable", "fail", lambda s: s.happens("stage-unavailable", stage="api")),
    ("not-audited", "inconclusive", lambda s: s.happens("not-audited", stage="api")),
    (
        "window-broken",
        "inconclusive",
        lambda s: setattr(s, "window", Window({"A": 9, "B": 0}, {"A": 8, "B": 999})),
    ),
    ("too-few-records", "inconclusive", lambda s: setattr(s, "window", None)),
    ("too-few-records", "inconclusive", lambda s: setattr(s, "window", Window({}, {}))),
    ("evidence-damaged", "inconclusive", lambda s: s.damage.append("run.json: gone")),
    ("interrupted", "inconclusive", lambda s: s.happens("interrupted", reason="SIGINT")),
]


@pytest.mark.parametrize("code, outcome, change", AUDITED)
def test_what_went_wrong_in_an_audit_is_named_and_is_no_pass(
    code: str, outcome: str, change: Change
) -> None:
    story = Story()
    story.run["kind"] = AUDIT
    story.ledger.clear()
    story.journal.clear()
    assert Judgement("pass", ()) == story.judged()

    change(story)
    judgement = story.judged()

    assert (outcome, [code]) == (judgement.outcome, [one.code for one in judgement.reasons])


def test_every_rule_of_an_audit_was_seen_to_speak() -> None:
    assert {rule.code for rule in AUDIT_RULES} == {code for code, _, _ in AUDITED}
