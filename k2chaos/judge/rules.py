"""
The rules of the verdict, as a table: code, outcome, what it means, and what is looked for.

A run is held against every row; every reason of every row is told, and the worst outcome decides.
None says pass: a pass is what is left when none has anything to say.
"""

from typing import Final

from k2chaos.judge import looks, observing
from k2chaos.judge.case import Rule

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "promise-broken",
        "fail",
        "The data broke a promise of the pipeline: records were lost, doubled or worse. The "
        "findings name stage, role, count and examples.",
        looks.promise_broken,
    ),
    Rule(
        "budget-exceeded",
        "fail",
        "A probe of the hypothesis saw a value out of its tolerance after the method, or during it "
        "where the hypothesis is to hold continuously.",
        looks.budget_exceeded,
    ),
    Rule(
        "stage-unavailable",
        "fail",
        "A stage still refused, hung or erred when the pipeline had had time to recover, or while "
        "the hypothesis was to hold.",
        looks.stage_unavailable,
    ),
    Rule(
        "never-recovered",
        "fail",
        "The deadline of `await_recovery` passed and the pipeline was not well; or it was for a "
        "moment, but not fresh, or not caught up, to the end of the run.",
        looks.never_recovered,
    ),
    Rule(
        "recovery-budget",
        "fail",
        "A phase of the recovery took longer than the experiment's budget for it (`budgets` of "
        "`await_recovery`), or was never reached.",
        observing.recovery_budget,
    ),
    Rule(
        "evidence-damaged",
        "inconclusive",
        "A file of the run folder is missing, cut short, cannot be read, or was changed after "
        "the run had ended; it names which.",
        looks.damaged,
    ),
    Rule(
        "stop-condition",
        "inconclusive",
        "A stop condition of the pipeline file was met; the run ended itself, and healed.",
        looks.ended_for("stop-condition"),
    ),
    Rule(
        "stopped",
        "inconclusive",
        "Somebody ended the run with `k2chaos stop`.",
        looks.ended_for("stopped"),
    ),
    Rule(
        "interrupted",
        "inconclusive",
        "The run was told to end (a signal, or a heal from outside), or Chaos Toolkit aborted it.",
        looks.interrupted,
    ),
    Rule("dry-run", "inconclusive", "Nothing was really done.", looks.dry),
    Rule(
        "baseline-unmet",
        "inconclusive",
        "All was not well before the first fault: a probe was out of tolerance or failed, or a "
        "promise was broken already. That is never blamed on the fault.",
        looks.baseline_unmet,
    ),
    Rule(
        "fault-not-injected",
        "inconclusive",
        "A fault that the method declares was never tried.",
        looks.not_injected,
    ),
    Rule(
        "nothing-proven",
        "inconclusive",
        "No fault was declared and none was injected.",
        looks.nothing_proven,
    ),
    Rule(
        "fault-outside-method",
        "inconclusive",
        "A fault stands in the rollbacks, where nobody tests what it breaks.",
        looks.fault_outside_method,
    ),
    Rule(
        "method-cut-short",
        "inconclusive",
        "Chaos Toolkit's journal has fewer activities than the method, or than the rollbacks, "
        "where these were to run whatever came.",
        looks.method_cut_short,
    ),
    Rule(
        "window-broken",
        "inconclusive",
        "The exchange's ids went back: which records were to be expected is not known.",
        looks.window_broken,
    ),
    Rule(
        "fault-unwitnessed",
        "inconclusive",
        "Nobody but its sender saw the fault in effect.",
        looks.unwitnessed,
    ),
    Rule(
        "fault-ended-early",
        "inconclusive",
        "The fault was already gone when it was to be healed.",
        looks.ended_early,
    ),
    Rule(
        "activity-failed",
        "inconclusive",
        "An action or probe of the method, or a rollback, failed or has no status.",
        looks.activity_failed,
    ),
    Rule(
        "probe-blind",
        "inconclusive",
        "A probe of the hypothesis failed for a reason of ours (credentials, a mistake), not of "
        "the pipeline's.",
        looks.probe_blind,
    ),
    Rule(
        "hypothesis-untested",
        "inconclusive",
        "The hypothesis, or a probe of it, was not tested before or after the fault.",
        looks.no_hypothesis,
    ),
    Rule(
        "observer-blind",
        "inconclusive",
        "The observer failed, its samples are damaged, or it made no attempt to look at a stage "
        "for over a second (two periods, where the pipeline file asks for fewer looks) between "
        "the first activity and the end of the method. A refused attempt is an attempt.",
        observing.observer_blind,
    ),
    Rule(
        "clock-stepped",
        "inconclusive",
        "The clock of this machine went back during the run: no time in it can be relied on.",
        observing.clock_stepped,
    ),
    Rule(
        "recovery-unmeasured",
        "inconclusive",
        "A phase of the recovery has a budget, and nobody measured it.",
        observing.recovery_unmeasured,
    ),
    Rule(
        "not-audited",
        "inconclusive",
        "The records of a stage, or what lies beside them, were not read, so nobody knows what is "
        "in it.",
        looks.not_audited,
    ),
    Rule(
        "fault-open",
        "inconclusive",
        "A fault is not confirmed healed: the pipeline may still be broken by us.",
        looks.fault_open,
    ),
    Rule(
        "too-few-records",
        "inconclusive",
        "Fewer records flowed than the pipeline file's `minimum_records`, or nobody knows how "
        "many.",
        looks.too_few_records,
    ),
    Rule(
        "unsupported",
        "inconclusive",
        "This pipeline has no such role or stage.",
        looks.unsupported,
    ),
)
