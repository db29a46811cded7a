"""The page ``docs/reference/anomalies.md``, made from the table that the judge's findings name."""

import inspect

from k2chaos.evidence.finding import ANOMALIES
from k2chaos.judge import audit, values, watched
from tools.verdicts import fails, table

_HEAD = """\
# Anomalies

Generated from the code; `make docs` writes it anew.

A finding in `verdict.json` names one of these, with the `stage` where it shows, the roles between
that stage and the one before (`at`), a `count`, the `window` of event times (of answers: of when
they came), up to ten `examples`, and whether it had happened `before_fault`: then the baseline was
unmet, and no fault is to blame.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for name, one in ANOMALIES.items():
        facts = (
            ("stages", ", ".join(one.stages)),
            ("found in", one.seen_in),
            ("an example names", one.named),
            ("fails the run", fails(name)),
        )
        parts += [f"## `{name}`", "", one.means, "", table(("", ""), facts)]
    for title, module in (
        ("How records are judged", audit),
        ("How values that are no record are judged", values),
        ("How answers are judged", watched),
    ):
        parts += [f"## {title}", "", inspect.cleandoc(module.__doc__ or ""), ""]
    return "\n".join(parts)
