from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from k2chaos.evidence.finding import Finding
from k2chaos.evidence.records import LETTERS, RECORDS, Window
from k2chaos.evidence.slots import Slots
from k2chaos.judge.audit import Beside, audit, count_duplicated, count_lost, count_records
from tests.fakes.histories import Row, clean, table_of, time_of, window_of

WINDOW = window_of(BTC=(100, 110), ETH=(0, 10))
ALL = clean(WINDOW)


def without(rows: list[Row], *gone: Row) -> list[Row]:
    return [row for row in rows if row not in gone]


def only(findings: tuple[Finding, ...]) -> Finding:
    assert 1 == len(findings), findings
    return findings[0]


def test_a_clean_history_has_no_findings() -> None:
    stages = {"topic": table_of(ALL), "table": table_of(reversed(ALL)), "api": table_of(ALL)}

    assert () == audit(WINDOW, stages)


def test_nothing_seen_of_an_empty_window_is_clean() -> None:
    assert () == audit(Window({}, {}), {"topic": table_of([])})


@pytest.mark.parametrize(
    "spoilt, at",
    [("topic", "source"), ("table", "sink"), ("api", "serving")],
)
def test_a_loss_is_located_at_the_first_stage_that_lacks_the_record(spoilt: str, at: str) -> None:
    """...and not reported again at the stages behind it."""
    rows = ALL
    stages = {}
    for stage in ("topic", "table", "api"):
        rows = without(rows, ("BTC", 103)) if stage == spoilt else rows
        stages[stage] = table_of(rows)

    finding = only(audit(WINDOW, stages))

    expected = ("lost", spoilt, at, 1, ({"key": "BTC", "sequence": 103},))
    assert expected == (
        finding.anomaly,
        finding.stage,
        finding.at,
        finding.count,
        finding.examples,
    )


def test_a_loss_behind_an_unreadable_stage_is_put_down_to_all_roles_in_between() -> None:
    stages = {"table": table_of(without(ALL, ("BTC", 103)))}

    assert "source or sink" == only(audit(WINDOW, stages)).at


def test_two_losses_at_different_stages_are_two_findings() -> None:
    topic = without(ALL, ("ETH", 1))
    table = without(topic, ("BTC", 101), ("BTC", 102))

    findings = audit(WINDOW, {"table": table_of(table), "topic": table_of(topic)})

    expected = [("topic", "source", 1), ("table", "sink", 2)]
    assert expected == [(one.stage, one.at, one.count) for one in findings]


def test_a_stage_that_shows_nothing_lost_everything() -> None:
    finding = only(audit(WINDOW, {"topic": table_of([])}))

    assert (20, (None, None)) == (finding.count, finding.window)
    assert 10 == len(finding.examples)


def test_the_window_of_a_loss_is_that_of_the_lost_records_where_an_earlier_stage_saw_them() -> None:
    stages = {
        "topic": table_of(ALL),
        "table": table_of(without(ALL, ("BTC", 103), ("BTC", 105))),
    }

    finding = only(audit(WINDOW, stages))

    assert (time_of(103).isoformat(), time_of(105).isoformat()) == finding.window


def test_the_window_of_a_loss_at_the_source_is_bounded_by_its_neighbours_of_the_same_key() -> None:
    stages = {"topic": table_of(without(ALL, ("BTC", 103), ("BTC", 105)))}

    finding = only(audit(WINDOW, stages))

    assert (time_of(102).isoformat(), time_of(106).isoformat()) == finding.window


def test_a_loss_at_the_very_end_of_a_key_has_no_later_neighbour() -> None:
    stages = {"topic": table_of(without(ALL, ("BTC", 110)))}

    assert (time_of(109).isoformat(), None) == only(audit(WINDOW, stages)).window


def test_a_duplicate_is_located_at_the_stage_that_made_it() -> None:
    topic = [*ALL, ("ETH", 4)]
    table = [*topic, ("ETH", 4), ("BTC", 101)]
    stages = {"topic": table_of(topic), "table": table_of(table), "api": table_of(table)}

    findings = audit(WINDOW, stages)

    expected = [("duplicated", "topic", "source", 1), ("duplicated", "table", "sink", 2)]
    assert expected == [(one.anomaly, one.stage, one.at, one.count) for one in findings]
    assert ({"key": "BTC", "sequence": 101}, {"key": "ETH", "sequence": 4}) == findings[1].examples
    assert (time_of(4).isoformat(), time_of(101).isoformat()) == findings[1].window


def test_a_record_that_comes_three_times_is_two_copies_too_many() -> None:
    table = table_of([*ALL, ("ETH", 4), ("ETH", 4)])

    assert 2 == only(audit(WINDOW, {"table": table})).count
    assert 2 == count_duplicated(WINDOW, table)


def test_records_before_and_beyond_the_window_are_none_of_its_business() -> None:
    rows = [*ALL, ("BTC", 100), ("BTC", 100), ("BTC", 111), ("ETH", 11)]

    assert () == audit(WINDOW, {"table": table_of(rows)})
    assert 20 == count_records(WINDOW, table_of(rows))


def test_a_key_that_never_traded_is_no_phantom_when_its_first_record_is_on_its_way() -> None:
    window = window_of(BTC=(100, 110), NEW=(0, 0))

    assert () == audit(window, {"topic": table_of([*clean(window), ("NEW", 1)])})


@pytest.mark.parametrize("row", [("DOGE", 5), ("BTC", 0), ("BTC", -7)])
def test_a_record_that_was_never_emitted_is_a_phantom_where_it_first_appears(row: Row) -> None:
    stages = {
        "topic": table_of(ALL),
        "table": table_of([*ALL, row]),
        "api": table_of([*ALL, row]),
    }

    finding = only(audit(WINDOW, stages))

    assert ("phantom", "table", "sink", 1) == (
        finding.anomaly,
        finding.stage,
        finding.at,
        finding.count,
    )
    assert ({"key": row[0], "sequence": row[1]},) == finding.examples


def test_reordered_within_a_key_is_found_in_the_topic() -> None:
    rows = [("BTC", 101), ("ETH", 1), ("BTC", 103), ("BTC", 102), ("ETH", 2)]
    window = window_of(BTC=(100, 103), ETH=(0, 2))

    finding = only(audit(window, {"topic": table_of(rows)}))

    assert ("reordered", 1, ({"key": "BTC", "sequence": 102},)) == (
        finding.anomaly,
        finding.count,
        finding.examples,
    )
    assert (time_of(102).isoformat(),) * 2 == finding.window


def test_the_table_has_no_order_to_break() -> None:
    assert () == audit(WINDOW, {"topic": table_of(ALL), "table": table_of(reversed(ALL))})


@pytest.mark.parametrize("copies", [65_535, 65_536])
def test_a_record_that_is_written_again_and_again_is_never_counted_as_one_or_none(
    copies: int,
) -> None:
    again = table_of([("BTC", 105)]).take([0] * copies)
    stages = {"topic": table_of(ALL), "table": [table_of(ALL), again]}

    assert [("duplicated", "table", copies)] == told(audit(WINDOW, stages))


def test_a_copy_that_comes_late_is_a_duplicate_and_not_a_reordering() -> None:
    rows = [("ETH", 1), ("ETH", 2), ("ETH", 3), ("ETH", 2)]

    finding = only(audit(window_of(ETH=(0, 3)), {"topic": table_of(rows)}))

    assert "duplicated" == finding.anomaly


def test_no_finding_names_more_than_ten_records() -> None:
    window = window_of(ETH=(0, 1000))

    finding = only(audit(window, {"topic": table_of([])}))

    assert (1000, 10) == (finding.count, len(finding.examples))


def test_an_exchange_that_began_anew_expects_nothing_of_the_window() -> None:
    window = Window(after={"BTC": 500}, until={"BTC": 20, "ETH": 1})

    assert (1, 0) == (window.expected, count_lost(window, table_of([("ETH", 1)])))


def test_counts_are_plain_integers() -> None:
    table = table_of(without(ALL, ("ETH", 3)))

    counts = [count_lost(WINDOW, table), count_records(WINDOW, table)]

    assert [1, 19] == counts
    assert all(type(count) is int for count in counts)


def test_a_finding_survives_its_json() -> None:
    finding = only(audit(WINDOW, {"topic": table_of(ALL[1:])}))

    assert finding == Finding.from_json(finding.to_json())
    assert {"anomaly", "stage", "at", "count", "window", "before_fault", "examples"} == set(
        finding.to_json()
    )


def test_event_times_are_named_in_utc() -> None:
    finding = only(audit(WINDOW, {"topic": table_of([*ALL, ("ETH", 1)])}))

    first = finding.window[0]
    assert first is not None
    assert datetime(2026, 1, 1, 0, 0, 0, 1000, UTC) == datetime.fromisoformat(first)


def changed(rows: list[Row], *others: Row) -> pa.Table:
    """*rows* as a stage shows them that changes what some of them say."""
    table = table_of(rows)
    digests = [
        digest + 1 if (key, sequence) in others else digest
        for key, sequence, digest in zip(
            table["key"].to_pylist(),
            table["sequence"].to_pylist(),
            table["digest"].to_pylist(),
            strict=True,
        )
    ]
    return table.set_column(3, RECORDS.field("digest"), pa.array(digests))


def in_topic(rows: list[Row]) -> pa.Table:
    """*rows* as they lie in a topic: all in partition 3, one after the other."""
    table = table_of(rows)
    table = table.append_column("partition", pa.array([3] * len(rows), pa.int64()))
    return table.append_column("offset", pa.array(range(len(rows)), pa.int64()))


def letters_of(**columns: list[object]) -> pa.Table:
    count = len(next(iter(columns.values())))
    return pa.table(
        {name: columns.get(name, [None] * count) for name in LETTERS.names}, schema=LETTERS
    )


def told(findings: tuple[Finding, ...]) -> list[tuple[str, str, int]]:
    return [(one.anomaly, one.stage, one.count) for one in findings]


def test_what_says_something_else_than_the_exchange_did_is_corrupted_where_it_first_does() -> None:
    spoilt = changed(ALL, ("BTC", 103), ("ETH", 4))
    stages = {"exchange": table_of(ALL), "topic": spoilt, "table": spoilt, "api": spoilt}

    finding = only(audit(WINDOW, stages))

    assert ("corrupted", "topic", "source", 2) == (
        finding.anomaly,
        finding.stage,
        finding.at,
        finding.count,
    )
    assert (time_of(4).isoformat(), time_of(103).isoformat()) == finding.window


def silent(rows: Sequence[Row]) -> pa.Table:
    """*rows* without what they say."""
    digests = pa.nulls(len(rows), pa.int64())
    return table_of(rows).set_column(3, RECORDS.field("digest"), digests)


def test_without_the_exchange_stages_are_held_against_each_other() -> None:
    stages = {"topic": table_of(ALL), "table": changed(ALL, ("BTC", 103)), "api": table_of(ALL)}

    assert [("corrupted", "table", 1)] == told(audit(WINDOW, stages))


@pytest.mark.parametrize("stage", ["topic", "table", "api"])
def test_a_record_that_lost_its_content_where_others_have_theirs_is_corrupted(stage: str) -> None:
    emptied = pa.concat_tables([silent(ALL[:1]), table_of(ALL[1:])])
    stages = dict.fromkeys(("exchange", "topic", "table", "api"), table_of(ALL))

    assert [("corrupted", stage, 1)] == told(audit(WINDOW, {**stages, stage: emptied}))


def test_content_that_a_stage_does_not_tell_is_not_compared() -> None:
    stages = {"topic": table_of(ALL), "table": silent(ALL), "api": changed(ALL, ("BTC", 103))}

    assert [("corrupted", "api", 1)] == told(audit(WINDOW, stages))


def test_what_was_missing_at_the_deadline_and_came_afterwards_is_late_and_not_lost() -> None:
    stages = {"topic": table_of(ALL), "table": table_of(without(ALL, ("BTC", 104)))}
    then = {"table": table_of(without(ALL, ("BTC", 103), ("BTC", 104)))}

    findings = audit(WINDOW, stages, Beside(at_deadline=then))

    assert [("late", "table", 1), ("lost", "table", 1)] == told(findings)
    assert ({"key": "BTC", "sequence": 103},) == findings[0].examples


def test_what_lies_in_the_dead_letter_topic_is_quarantined_and_not_lost() -> None:
    stages = {"topic": in_topic(ALL), "table": table_of(without(ALL, ("BTC", 103), ALL[5]))}
    by_value = letters_of(key=["BTC", None], sequence=[103, None], reason=["too late", None])
    by_place = letters_of(partition=[3, 3], offset=[5, ALL.index(("BTC", 103))])

    for letters in (by_value, by_place):
        found = {
            anomaly: count
            for anomaly, _, count in told(audit(WINDOW, stages, Beside(letters=letters)))
        }
        assert 2 == found.get("quarantined", 0) + found.get("lost", 0)
        assert found["quarantined"] == (1 if letters is by_value else 2)


def test_a_letter_of_nothing_in_the_window_is_none_of_its_business() -> None:
    letters = letters_of(key=["BTC"], sequence=[7])
    stages = {"topic": table_of(ALL), "table": table_of(ALL)}

    assert () == audit(WINDOW, stages, Beside(letters=letters))


def test_letters_that_only_say_where_need_a_topic_with_offsets() -> None:
    letters = letters_of(partition=[3], offset=[5])
    stages = {"topic": table_of(ALL), "table": table_of(without(ALL, ALL[5]))}

    assert [("lost", "table", 1)] == told(audit(WINDOW, stages, Beside(letters=letters)))


def test_lost_records_that_the_group_has_passed_are_diverged_too() -> None:
    stages = {"topic": in_topic(ALL), "table": table_of(without(ALL, ALL[5], ALL[15]))}

    findings = audit(WINDOW, stages, Beside(committed={3: 10}))

    assert [("lost", "table", 2), ("diverged", "table", 1)] == told(findings)
    assert ({"key": ALL[5][0], "sequence": ALL[5][1]},) == findings[1].examples


def test_a_group_that_has_passed_nothing_that_is_missing_is_not_diverged() -> None:
    stages = {"topic": in_topic(ALL), "table": table_of(without(ALL, ALL[5]))}

    assert [("lost", "table", 1)] == told(audit(WINDOW, stages, Beside(committed={3: 5})))


def test_what_had_passed_before_the_first_fault_is_told_apart() -> None:
    stages = {"topic": table_of(ALL), "table": table_of(without(ALL, ("BTC", 103), ("BTC", 107)))}
    settled = {"table": {"BTC": 105}}

    before, since = audit(WINDOW, stages, Beside(settled=settled))

    assert (True, ({"key": "BTC", "sequence": 103},)) == (before.before_fault, before.examples)
    assert (False, ({"key": "BTC", "sequence": 107},)) == (since.before_fault, since.examples)


@pytest.mark.parametrize("last", [0, 50, 100, 105, 110, 999])
def test_slots_up_to_a_sequence_are_those_of_its_key(last: int) -> None:
    slots = Slots.of(WINDOW)

    found = [slots.identity(int(slot)) for slot in np.flatnonzero(slots.up_to({"BTC": last}))]

    expected = [{"key": "BTC", "sequence": one} for one in range(101, min(last, 110) + 1)]
    assert expected == found


def test_a_slot_is_found_by_its_identity_and_only_inside_the_window() -> None:
    slots = Slots.of(WINDOW)

    assert all(slots.slot(**slots.identity(slot)) == slot for slot in range(slots.size))
    for outside in (("BTC", 100), ("BTC", 111), ("ETH", 0), ("DOGE", 1)):
        assert None is slots.slot(*outside)


def test_a_stage_may_come_in_parts() -> None:
    rows = [("ETH", 1), ("ETH", 3), ("ETH", 2), ("ETH", 3), ("ETH", 4), ("ETH", 1)]
    window = window_of(ETH=(0, 4))
    whole = audit(window, {"topic": table_of(rows)})

    for size in (1, 2, 3):
        parts = [table_of(rows[start : start + size]) for start in range(0, len(rows), size)]
        assert whole == audit(window, {"topic": parts})
    assert [("duplicated", "topic", 2), ("reordered", "topic", 1)] == told(whole)


def test_keys_may_come_as_a_dictionary() -> None:
    rows = [("BTC", 101), ("ETH", 1), ("BTC", 101)]
    encoded = table_of(rows).set_column(0, "key", table_of(rows)["key"].dictionary_encode())

    found = [Slots.of(WINDOW).places(table).tolist() for table in (table_of(rows), encoded)]

    assert found[0] == found[1]


def test_copies_that_differ_are_told_where_they_first_do_and_in_one_batch_too() -> None:
    window = window_of(BTC=(0, 3))
    rows = table_of([("BTC", 1), ("BTC", 2), ("BTC", 2), ("BTC", 3)])
    digests = pa.array([11, 22, 99, 33], pa.int64())
    topic = rows.set_column(3, RECORDS.field("digest"), digests)
    table = topic.take(pa.array([0, 1, 3]))

    findings = audit(window, {"topic": topic, "table": table})

    assert [("duplicated", "topic"), ("corrupted", "topic")] == [
        (one.anomaly, one.stage) for one in findings
    ]


def test_a_record_of_which_a_letter_tells_and_that_is_there_is_not_quarantined() -> None:
    letter = {"partition": 0, "offset": 3, "reason": "x", "key": "BTC", "sequence": 103}
    letters = pa.Table.from_pylist([letter], schema=LETTERS)
    stages = {"topic": table_of(ALL), "table": table_of(ALL)}

    assert () == audit(WINDOW, stages, Beside(letters=letters))
