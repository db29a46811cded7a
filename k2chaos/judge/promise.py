"""What a pipeline promises of its data, and how a finding that breaks it is told."""

from collections.abc import Mapping
from typing import Final

from k2chaos.evidence.finding import Finding

_WORDS: Final[Mapping[str, str]] = {
    "schema": "{count} values in the {stage} are not valid against the schema",
    "stale": "{count} answers of the {stage} were stale",
    "backwards": "{count} answers of the {stage} went backwards",
    "torn": "{count} answers of the {stage} were torn",
    "misreported": "health misreported {count} times over the {stage}",
    "diverged": "the group has passed {count} records that are not in the {stage}",
}


def breaks_promise(finding: Finding, promise: Mapping[str, str]) -> bool:
    """Whether *finding* is something the pipeline promised not to do; what is not said, it did."""
    match finding.anomaly:
        case "duplicated":
            return promise.get("duplicates") != "allowed"
        case "reordered":
            return promise.get("order") != "none"
        case _:
            return True


def told(finding: Finding) -> str:
    """A finding as one line."""
    words = _WORDS.get(finding.anomaly, "{count} records {anomaly} in the {stage}")
    said = words.format(count=finding.count, anomaly=finding.anomaly, stage=finding.stage)
    when = ", before the first fault" if finding.before_fault else ""
    return f"{said} (at {finding.at}){when}"
