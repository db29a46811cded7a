"""What is expected of each bug, and whether a verdict is that; pure."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
FILE: Final = Path(__file__).with_name("expected.toml")
CATALOGUE: Final = ROOT / "stack" / "services" / "lab_bugs" / "catalogue.toml"


@dataclass(frozen=True, slots=True)
class Expected:
    """
    Which experiment ought to find a bug, and what it ought to say.

    Attributes:
        package: Of the service that has the bug.
        experiment: Name of a file in ``experiments/``.
        anomaly: Of the finding, with its ``stage`` and the role that it is put down to (``at``).
        reason: Code of the verdict's reason, where the bug leaves every record as it should be.
        restart: Whether the service is started anew right before the run.
    """

    name: str
    package: str
    experiment: str
    anomaly: str = ""
    stage: str = ""
    at: str = ""
    reason: str = ""
    restart: bool = False

    @property
    def words(self) -> str:
        """What is expected, as in the table."""
        return self.reason or f"{self.anomaly} in the {self.stage}, at {self.at}"

    @property
    def file(self) -> Path:
        """The experiment."""
        return ROOT / "experiments" / f"{self.experiment}.json"


@dataclass(frozen=True, slots=True)
class Row:
    """
    What became of one bug.

    Attributes:
        verdict: ``no verdict`` where there is none.
        finding: What the verdict said of the kind that was expected; else all that it said.
        count: How many records, of the finding that was expected.
    """

    expected: Expected
    verdict: str
    finding: str
    count: int | None = None
    found: bool = False


def read_expected() -> dict[str, Expected]:
    """Every bug of the catalogue by its name, with what is expected of it."""
    tables = tomllib.loads(FILE.read_text(encoding="utf-8"))
    known = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
    return {name: Expected(name, bug["service"], **tables[name]) for name, bug in known.items()}


def compare(expected: Expected, verdict: Mapping[str, Any]) -> Row:
    """Hold a run's ``verdict.json`` against what is *expected*."""
    outcome = str(verdict.get("verdict", "no verdict"))
    reasons = [one["code"] for one in verdict.get("reasons", ())]
    wanted = (expected.anomaly, expected.stage, expected.at)
    # What was wrong before the fault is no success of the experiment.
    findings = [one for one in verdict.get("findings", ()) if not one["before_fault"]]
    matching = [one for one in findings if (one["anomaly"], one["stage"], one["at"]) == wanted]
    if matching or expected.reason in reasons:
        count = sum(one["count"] for one in matching) if matching else None
        return Row(expected, outcome, expected.words, count, found=outcome == "fail")
    told = [f"{one['anomaly']} in the {one['stage']}, at {one['at']}" for one in findings]
    return Row(expected, outcome, "; ".join((*told, *dict.fromkeys(reasons))) or "nothing")
