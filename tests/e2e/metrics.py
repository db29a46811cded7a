"""
What the tests measured, kept over runs: one JSON line a test in ``journals/e2e/metrics.jsonl``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FILE = Path("journals/e2e/metrics.jsonl")


@dataclass
class Measured:
    """The measurements of one test; units are in the names."""

    found: dict[str, float] = field(default_factory=dict)

    def values(self, **measurements: float) -> None:
        """Keep single figures."""
        self.found |= {name: round(value, 4) for name, value in measurements.items()}

    def marks(self, name: str, values: Sequence[float]) -> dict[str, float]:
        """Keep the distribution of *values*; returns it."""
        p50, p95, p99, most = np.percentile(values, [50, 95, 99, 100])
        marks = {"mean": float(np.mean(values)), "p50": p50, "p95": p95, "p99": p99, "max": most}
        marks = {mark: float(value) for mark, value in marks.items()}
        self.values(**{f"{name}.{mark}": value for mark, value in marks.items()})
        return marks


def keep(line: dict[str, object], file: Path = FILE) -> None:
    """Append one test's line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps(line) + "\n")
