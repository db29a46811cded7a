"""What a rule of the verdict is, and what it looks at."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from k2chaos.evidence.finding import Finding
from k2chaos.evidence.reading import RunEvidence

Outcome = Literal["pass", "fail", "inconclusive"]
When = Literal["before", "during", "after"]


@dataclass(frozen=True, slots=True)
class Case:
    """
    What the rules look at.

    Attributes:
        findings: What the audit found in the evidence.
        recoveries: By ``fault`` and ``injection``, the recovery from each, in their order.
    """

    evidence: RunEvidence
    findings: Sequence[Finding]
    recoveries: Mapping[str, Sequence[Mapping[str, Any] | None]]

    @property
    def steady_states(self) -> Mapping[str, Any]:
        """Chaos Toolkit's account of the hypothesis before and after."""
        return self.evidence.journal.get("steady_states") or {}

    @property
    def fault_was_tried(self) -> bool:
        """Whether anything was injected at all."""
        return bool(self.evidence.ledger.entries)

    def unmet_probes(self, when: When) -> tuple[Mapping[str, Any], ...]:
        """The probes of the hypothesis that failed or were out of tolerance."""
        told = self.steady_states.get(when) or ()
        states = (told,) if isinstance(told, Mapping) else told
        probes = (probe for state in states if state for probe in state.get("probes") or ())
        return tuple(probe for probe in probes if not probe.get("tolerance_met"))


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One row of the verdict.

    Attributes:
        code: Its stable name.
        outcome: What it makes of the run where it has anything to say.
        means: What it means, a sentence or two, for whoever reads the verdict.
        look: What it looks for: one text for each thing seen.
    """

    code: str
    outcome: Outcome
    means: str
    look: Callable[[Case], Iterator[str]]
