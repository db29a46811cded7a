"""
Is the pipeline whole, right now? The critical path, looked at without breaking anything.

For the minutes after a deployment: every service, every stage, what flows, how fresh it is, and
every record of a short window at every stage. Each check says what it saw; one that could not see
is inconclusive, never a pass.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Final, Literal, TextIO

from rich.console import Console
from rich.markup import escape

from k2chaos.clock import Clock
from k2chaos.errors import EngineUnreachable, StageBlind, StageUnavailable
from k2chaos.evidence.baseline import Baseline
from k2chaos.evidence.records import Window
from k2chaos.judge.audit import audit, count_records
from k2chaos.judge.promise import breaks_promise
from k2chaos.pipeline import Pipeline
from k2chaos.system.runtime import Runtime
from k2chaos.system.services import service_states
from k2chaos.system.stages import Stages
from k2chaos.system.windows import read_window, take_baseline

Outcome = Literal["pass", "fail", "inconclusive"]

DRAIN_SECONDS: Final = 30.0
"""How long records may be on their way to a stage after the window has ended."""
_LOOK_SECONDS: Final = 0.5
_REQUESTS: Final = 20
_STYLES: Final[dict[Outcome, str]] = {
    "pass": "green",
    "fail": "bold red",
    "inconclusive": "bold yellow",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at, and what was seen of it."""

    name: str
    outcome: Outcome
    seen: str


@dataclass(slots=True)
class Validation:
    """
    One look at a pipeline.

    Attributes:
        seconds: How long records are counted.
        freshness: By stage, the worst that was seen meanwhile.
    """

    pipeline: Pipeline
    stages: Stages
    connect: Callable[[], Runtime]
    clock: Clock
    seconds: float
    freshness: dict[str, float] = field(default_factory=dict)
    _troubles: dict[str, Check] = field(default_factory=dict)

    def checks(self) -> Iterator[Check]:
        """Look at one thing after the other; a failure hides no later one that can be seen."""
        yield _checked("services", self._services)
        baseline: Baseline | None = None
        try:
            baseline = take_baseline(self.stages, self.clock)
        except (StageUnavailable, StageBlind) as error:
            yield _not_seen("where it stands", error)
        self._watch()
        for stage in self.pipeline.stages:
            if stage != "exchange":
                yield self._fresh(stage)
        if baseline is not None:
            yield from self._flow(baseline)
        if self.pipeline.api is not None:
            yield _checked("api latency", self._latency)

    def _services(self) -> tuple[Outcome, str]:
        states = service_states(self.connect(), self.pipeline)
        troubles = [state.trouble for state in states if state.trouble]
        if troubles:
            return "fail", ", ".join(troubles)
        return "pass", f"{len(states)} run and are healthy"

    def _watch(self) -> None:
        """Let the time pass, and see how stale every stage gets meanwhile."""
        until = self.clock.monotonic() + self.seconds
        while self.clock.monotonic() < until:
            for stage in self.pipeline.stages:
                if stage == "exchange":
                    continue
                try:
                    seen = self.stages.freshness_seconds(stage)
                except (StageUnavailable, StageBlind) as error:
                    self._troubles[stage] = _not_seen(_freshness_of(stage), error)
                else:
                    self.freshness[stage] = max(seen, self.freshness.get(stage, 0.0))
            self.clock.wait(_LOOK_SECONDS)

    def _fresh(self, stage: str) -> Check:
        name, budget = _freshness_of(stage), self.pipeline.budgets.freshness_seconds
        if stage in self._troubles:
            return self._troubles[stage]
        if stage not in self.freshness:
            return Check(name, "inconclusive", "nobody looked")
        worst = self.freshness[stage]
        outcome: Outcome = "pass" if worst <= budget else "fail"
        return Check(name, outcome, f"{worst:.1f} s at worst, budget {budget:g} s")

    def _flow(self, baseline: Baseline) -> Iterator[Check]:
        """Count the records of the window, then look for every one of them at every stage."""
        try:
            window = self.stages.window_since(baseline)
        except (StageUnavailable, StageBlind) as error:
            yield _not_seen("records flow", error)
            return
        passed = (self.clock.now() - baseline.started).total_seconds()
        yield self._pace(window, passed)
        for stage in self.pipeline.stages:
            if stage != "exchange":
                look = partial(self._audited, stage, window, baseline)
                yield _checked(f"{stage} records", look)

    def _pace(self, window: Window, passed: float) -> Check:
        budgets = self.pipeline.budgets
        pace = window.expected / passed
        seen = f"{window.expected} in {passed:.0f} s, {pace:.1f} a second"
        if pace < budgets.throughput_records_per_second:
            least = f"the least is {budgets.throughput_records_per_second:g}"
            return Check("records flow", "fail", f"{seen}; {least}")
        return Check("records flow", "pass", seen)

    def _audited(self, stage: str, window: Window, baseline: Baseline) -> tuple[Outcome, str]:
        self.stages.wait_until_drained(stage, window.until, DRAIN_SECONDS)
        records = read_window(self.stages, stage, window, baseline)
        promise = asdict(self.pipeline.promise)
        findings = [one for one in audit(window, {stage: records}) if breaks_promise(one, promise)]
        if findings:
            what = (
                f"{one.count} {one.anomaly}, such as {list(one.examples)[:3]}" for one in findings
            )
            return "fail", "; ".join(what)
        if not window.expected:
            return "inconclusive", "no record to look for"
        return "pass", f"all {count_records(window, records)}, none lost, none twice"

    def _latency(self) -> tuple[Outcome, str]:
        took = sorted(self.stages.api_latency_seconds() for _ in range(_REQUESTS))
        p95 = took[round(0.95 * (len(took) - 1))]
        return "pass", f"p50 {took[len(took) // 2] * 1e3:.0f} ms, p95 {p95 * 1e3:.0f} ms"


def _freshness_of(stage: str) -> str:
    return f"{stage} fresh"


def _checked(name: str, look: Callable[[], tuple[Outcome, str]]) -> Check:
    try:
        return Check(name, *look())
    except (StageUnavailable, StageBlind, EngineUnreachable) as error:
        return _not_seen(name, error)


def _not_seen(name: str, error: Exception) -> Check:
    """A stage that refuses is a failure; whatever else kept us from looking is ours."""
    return Check(
        name, "fail" if isinstance(error, StageUnavailable) else "inconclusive", str(error)
    )


def exit_code(checks: Iterable[Check]) -> int:
    """0 when all passed, 1 when one failed, else 3."""
    outcomes = {check.outcome for check in checks}
    return 1 if "fail" in outcomes else 0 if outcomes == {"pass"} else 3


def print_check(check: Check, output: TextIO) -> None:
    """One line."""
    console = Console(file=output, highlight=False)
    word = f"[{_STYLES[check.outcome]}]{check.outcome:<12}[/]"
    console.print(f"{word} {check.name:<15} {escape(check.seen)}", soft_wrap=True)


def print_json(pipeline: Pipeline, checks: Sequence[Check], output: TextIO) -> None:
    """All of it as one JSON document."""
    document = {
        "schema": 1,
        "pipeline": pipeline.name,
        "exit_code": exit_code(checks),
        "checks": [asdict(check) for check in checks],
    }
    output.write(json.dumps(document, indent=2) + "\n")
