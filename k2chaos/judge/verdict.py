"""
From evidence to a verdict.

`RULES` is the whole of it: each row looks at the evidence of one run and says what it saw; every
reason of every row is listed, and the worst decides (fail beats inconclusive beats pass). No row
says pass: a pass is what is left when none had anything to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from k2chaos.evidence.finding import Finding
from k2chaos.evidence.folder import AUDIT
from k2chaos.evidence.reading import DISTURBANCES, RunEvidence
from k2chaos.judge.audit_rules import AUDIT_RULES
from k2chaos.judge.case import Case, Outcome
from k2chaos.judge.recovery import recoveries
from k2chaos.judge.rules import RULES


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a run is no pass: the rule's code and what was seen."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome and every reason for it."""

    outcome: Outcome
    reasons: tuple[Reason, ...]


def judge(evidence: RunEvidence, findings: Sequence[Finding]) -> Judgement:
    """Hold *evidence* against every rule: those of experiments, or of audits without a fault."""
    told = {name: recoveries(evidence, name) for name in DISTURBANCES}
    case = Case(evidence, findings, told)
    rules = AUDIT_RULES if evidence.run.get("kind") == AUDIT else RULES
    seen = [(rule, text) for rule in rules for text in rule.look(case)]
    outcomes = {rule.outcome for rule, _ in seen}
    worst: Outcome = next((one for one in ("fail", "inconclusive") if one in outcomes), "pass")
    return Judgement(worst, tuple(Reason(rule.code, text) for rule, text in seen))
