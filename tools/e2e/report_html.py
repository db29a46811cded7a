"""
The trends as one page that needs nothing else: small line charts in SVG, no script.

A chart's scale begins at nothing, so that noise does not look like a trend; the shaded line is the
median. Every point tells its run, commit and value when pointed at.
"""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Final

from tools.e2e.criteria import shown
from tools.e2e.runs import Run
from tools.e2e.trends import Record, Series, durations, measurements, records, resources, sessions

_WIDTH: Final = 240
_HEIGHT: Final = 56
_EDGE: Final = 5
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2733; --dim: #66727f; --line: #2468b4; --card: #f5f7f9;
  --good: #7db88a; --bad: #cc3d3d; --other: #d9b74a; --none: #e3e7eb; --page: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ee; --dim: #97a3af; --line: #79b2f2;
  --card: #1d242b; --good: #4c8a5b; --bad: #e06060; --none: #2c353e; --page: #12171c; } }
body { font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 1120px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
h3 { font-size: .9rem; font-weight: 600; margin: 1.1rem 0 .4rem; overflow-wrap: anywhere }
p, .dim { color: var(--dim) }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 10px }
.card { background: var(--card); border-radius: 8px; padding: 8px 12px; overflow-wrap: anywhere }
.card b { font-size: 1.2rem } .card .dim { font-size: .8rem }
svg { display: block; width: 100%; height: auto; overflow: visible }
polyline { fill: none; stroke: var(--line); stroke-width: 1.6; stroke-linejoin: round }
circle { fill: var(--line) } .median { stroke: var(--dim); stroke-dasharray: 3 3; opacity: .5 }
table { border-collapse: collapse; width: 100% } td { padding: 2px 6px; overflow-wrap: anywhere;
  vertical-align: top } td.runs { white-space: nowrap; width: 1% }
i { display: inline-block; width: 10px; height: 14px; margin-right: 2px; border-radius: 2px;
  background: var(--none) } i.passed { background: var(--good) } i.skipped {
  background: var(--other) }
i.failed, i.error { background: var(--bad) }
"""


def html(runs: Sequence[Run]) -> str:
    """The page of *runs*, at least one, oldest first."""
    last = f"{escape(runs[-1].run)}, on commit {escape(runs[-1].commit or 'unknown')}"
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>End-to-end tests: trends</title><style>{_STYLE}</style></head><body>",
            "<h1>End-to-end tests: trends</h1>",
            f"<p>{len(runs)} runs, {escape(runs[0].run)} to {last}</p>",
            "<h2>Sessions</h2>",
            *_cards(sessions(runs)),
            "<h2>Measurements</h2>",
            *_grouped(measurements(runs)),
            "<h2>Resources</h2>",
            *_grouped(resources(runs)),
            "<h2>Outcomes</h2>",
            *_outcomes(records(runs), runs),
            "<h2>Durations of tests, the slowest first</h2>",
            *_cards(durations(runs)),
            "</body></html>\n",
        ]
    )


def _grouped(series: Sequence[Series]) -> Iterator[str]:
    for group, found in groupby(sorted(series, key=lambda s: s.group), key=lambda s: s.group):
        yield f"<h3>{escape(group)}</h3>"
        yield from _cards(found)


def _cards(series: Iterable[Series]) -> Iterator[str]:
    yield '<div class="cards">'
    for one in series:
        name = one.group if one.name == "seconds" else one.name
        ends = f"{shown(min(one.values))} to {shown(max(one.values))}"
        yield (
            f'<div class="card">{escape(name)}<br><b>{shown(one.last)}</b> '
            f'<span class="dim">median {shown(one.median)}, {ends}</span>{_chart(one)}</div>'
        )
    yield "</div>"


def _chart(series: Series) -> str:
    top = max([*series.values, 0.0]) or 1.0
    bottom = min([*series.values, 0.0])

    def y(value: float) -> float:
        return _EDGE + (_HEIGHT - 2 * _EDGE) * (top - value) / (top - bottom)

    step = (_WIDTH - 2 * _EDGE) / max(1, len(series.points) - 1)
    places = [(_EDGE + step * number, y(one.value)) for number, one in enumerate(series.points)]
    line = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
    dots = "".join(
        f'<circle cx="{across:.1f}" cy="{down:.1f}" r="2.4"><title>{escape(one.run)}, '
        f"{escape(one.commit)}: {shown(one.value)}</title></circle>"
        for (across, down), one in zip(places, series.points, strict=True)
    )
    middle = f"{y(series.median):.1f}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        f'<line class="median" x1="0" x2="{_WIDTH}" y1="{middle}" y2="{middle}"/>'
        f'<polyline points="{line}"/>{dots}</svg>'
    )


def _outcomes(found: Sequence[Record], runs: Sequence[Run]) -> Iterator[str]:
    yield "<p>A square a run, oldest first; those that failed most often on top.</p><table>"
    for one in found:
        squares = "".join(
            f'<i class="{outcome or ""}" title="{escape(run.run)}: {outcome or "not run"}"></i>'
            for run, outcome in zip(runs, one.outcomes, strict=True)
        )
        why = f'<br><span class="dim">{escape(one.reason)}</span>' if one.reason else ""
        yield f'<tr><td class="runs">{squares}</td><td>{escape(one.test)}{why}</td></tr>'
    yield "</table>"
