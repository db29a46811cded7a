"""
What holds of every history: what was spoilt is found, exactly, and nothing else is.

The reference is written with plain dictionaries, so that it shares no trick with the audit.
"""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from k2chaos.evidence.records import Window
from k2chaos.evidence.slots import Slots, within
from k2chaos.judge.audit import audit, count_duplicated, count_lost, count_records
from tests.fakes.histories import Row, clean, table_of

Spoilt = tuple[Window, dict[str, list[Row]], dict[str, set[Row]]]

KEYS = ("BTC", "ETH", "SOL")


@st.composite
def windows(draw: st.DrawFn) -> Window:
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True, min_size=1))
    after = {key: draw(st.integers(0, 50)) for key in keys if draw(st.booleans())}
    until = {key: after.get(key, 0) + draw(st.integers(0, 20)) for key in keys}
    return Window(after, until)


@st.composite
def spoilt(draw: st.DrawFn) -> Spoilt:
    """A window, what each stage shows, and what was taken away before each stage."""
    window = draw(windows())
    rows = clean(window)
    stages, taken = {}, {}
    for stage in ("topic", "table", "api"):
        lost = draw(st.sets(st.sampled_from(rows))) if rows else set()
        rows = [row for row in rows if row not in lost]
        stages[stage], taken[stage] = rows, lost
    return window, stages, taken


@st.composite
def anything(draw: st.DrawFn) -> tuple[Window, list[Row]]:
    """A window and any rows at all, in and out of it."""
    row = st.tuples(st.sampled_from((*KEYS, "XXX")), st.integers(-3, 75))
    return draw(windows()), draw(st.lists(row, max_size=60))


@given(windows())
def test_a_clean_history_has_no_findings(window: Window) -> None:
    table = table_of(clean(window))

    assert () == audit(window, {"topic": table, "table": table, "api": table})
    assert (0, 0) == (count_lost(window, table), count_duplicated(window, table))
    assert window.expected == count_records(window, table)


@given(spoilt())
def test_exactly_what_was_taken_away_is_lost_and_where_it_was_taken(history: Spoilt) -> None:
    window, stages, taken = history
    findings = audit(window, {stage: table_of(rows) for stage, rows in stages.items()})

    assert {"lost"} >= {one.anomaly for one in findings}
    assert {stage: len(rows) for stage, rows in taken.items() if rows} == {
        one.stage: one.count for one in findings
    }
    for one in findings:
        named = {(example["key"], example["sequence"]) for example in one.examples}
        assert named <= taken[one.stage]
        assert min(10, one.count) == len(named)


@given(windows(), st.data())
def test_exactly_what_was_repeated_is_duplicated(window: Window, data: st.DataObject) -> None:
    rows = clean(window)
    extra = data.draw(st.lists(st.sampled_from(rows), max_size=20)) if rows else []
    table = table_of(data.draw(st.permutations([*rows, *extra])))

    findings = audit(window, {"table": table})

    assert [len(extra)] * bool(extra) == [one.count for one in findings]
    assert len(extra) == count_duplicated(window, table)
    named = {(one["key"], one["sequence"]) for found in findings for one in found.examples}
    assert named <= set(extra)


@given(windows(), st.data())
def test_exactly_the_late_ones_are_reordered(window: Window, data: st.DataObject) -> None:
    rows = data.draw(st.permutations(clean(window)))
    highest: Counter[str] = Counter()
    late = 0
    for key, sequence in rows:
        late += sequence < highest[key]
        highest[key] = max(highest[key], sequence)

    findings = audit(window, {"topic": table_of(rows)})

    assert [late] * bool(late) == [one.count for one in findings]
    assert {"reordered"} >= {one.anomaly for one in findings}


@given(anything())
def test_counts_agree_with_plain_dictionaries(history: tuple[Window, list[Row]]) -> None:
    window, rows = history
    expected = set(clean(window))
    seen = Counter(row for row in rows if row in expected)
    table = table_of(rows)

    assert len(expected - seen.keys()) == count_lost(window, table)
    assert len(seen) == count_records(window, table)
    assert seen.total() - len(seen) == count_duplicated(window, table)


@given(anything())
def test_a_table_cut_to_its_window_is_judged_the_same(history: tuple[Window, list[Row]]) -> None:
    window, rows = history
    table = table_of(rows)

    assert audit(window, {"topic": table}) == audit(window, {"topic": within(window, table)})


@given(windows())
def test_every_slot_knows_the_record_that_it_is_for(window: Window) -> None:
    slots = Slots.of(window)
    table = table_of(clean(window))

    named = [slots.identity(int(place)) for place in slots.places(table)]

    assert table.select(["key", "sequence"]).to_pylist() == named
    assert sorted(slots.places(table)) == list(range(slots.size))
