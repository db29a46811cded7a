"""The page ``docs/reference/verdicts.md``, made from the rows that the judge loops over."""

import inspect
from collections.abc import Iterable, Iterator

from k2chaos.evidence.finding import ANOMALIES, Anomaly, Finding
from k2chaos.evidence.phases import PHASES
from k2chaos.judge import steady
from k2chaos.judge.audit_rules import AUDIT_RULES
from k2chaos.judge.promise import breaks_promise
from k2chaos.judge.rules import RULES
from k2chaos.launch.outcome import EXIT_CODES

_HEAD = """\
# Verdicts

Generated from the code; `make docs` writes it anew.

A run ends with one of three verdicts. It is held against every row below; every reason of every row
is told in `verdict.json`, and the worst decides: fail beats inconclusive beats pass. No row says
pass: a pass is what is left when none has anything to say. `k2chaos judge journals/<run>` judges a
stored run again, offline, and finds the same.
"""

_AUDIT = """\
## Audits

What decides of `k2chaos audit`, which breaks nothing and declares no fault.
"""

_EXIT = """\
## Exit codes

Of `chaos run`, `k2chaos judge` and every other command that judges. Over several experiments: the
first present of 1, 4, 2, 3, 0.
"""

_PHASES = """\
## Phases of a recovery

For every fault, `recovery` tells in seconds when each phase was reached, `from_injection` and
`from_heal` (below 0: before it). `null` is never: not to the end of the samples, or until the next
fault began. A phase that nobody measured has no entry. A phase is known to within one sampling
interval. `over_budget_area` is by how much, times for how long, the last stage was staler than its
budget (in seconds times seconds).

Budgets for phases stand in the experiment (`budgets` of [`await_recovery`](actions.md)).
"""

_AUDIT = """\
## An audit without a fault

`k2chaos audit` reads the same stages for any time gone by, and is judged by these rows alone.
"""

_ANOMALIES = """\
## Broken promises

What `promise-broken` can name; [anomalies](anomalies.md) has more about each.
"""


def page() -> str:
    """The whole page."""
    parts = [
        _HEAD,
        *(_rules(outcome) for outcome in ("fail", "inconclusive")),
        _AUDIT,
        table(
            ("reason", "verdict", "means"),
            ((f"`{rule.code}`", rule.outcome, rule.means) for rule in AUDIT_RULES),
        ),
        _EXIT,
        table(("exit code", "means"), ((str(code), word) for word, code in EXIT_CODES.items())),
        _PHASES,
        table(("phase", "means"), ((f"`{name}`", f"{text}") for name, text in PHASES.items())),
        inspect.cleandoc(steady.__doc__ or "") + "\n",
        _ANOMALIES,
        table(("anomaly", "means", "fails"), _broken()),
    ]
    return "\n".join(parts)


def _rules(outcome: str) -> str:
    rows = ((f"`{rule.code}`", rule.means) for rule in RULES if rule.outcome == outcome)
    return f"## {outcome.capitalize()}\n\n{table(('reason', 'means'), rows)}"


def _broken() -> Iterator[tuple[str, str, str]]:
    for anomaly, meaning in ANOMALIES.items():
        yield f"`{anomaly}`", meaning.means, fails(anomaly)


def fails(anomaly: Anomaly) -> str:
    """Under which promise a finding fails the run; asked of the function that decides."""
    finding = Finding(anomaly, "table", "sink", 1)
    strict = {"duplicates": "none", "order": "per-key"}
    if not breaks_promise(finding, strict):
        return "never"
    for name, lenient in (("duplicates", "allowed"), ("order", "none")):
        if not breaks_promise(finding, {**strict, name: lenient}):
            return f"unless `promise.{name}` is `{lenient}`"
    return "always"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
