from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from k2chaos.evidence.freshness import (
    Emitted,
    Sighting,
    active_keys,
    advance,
    freshness_seconds,
    newest_of,
    unaided_freshness_seconds,
)
from tests.fakes.histories import table_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOON - timedelta(seconds=seconds)


def test_a_stage_that_shows_every_emitted_record_is_fresh_however_old_they_are() -> None:
    emitted = {"BTC": Emitted(9, ago(3600), ago(7200))}

    assert 0.0 == freshness_seconds({"BTC": Sighting(9, ago(3600))}, emitted, NOON)


def test_a_stage_that_lacks_a_record_is_as_old_as_the_newest_that_it_shows() -> None:
    emitted = {"BTC": Emitted(9, ago(1), ago(100))}

    assert 5.0 == freshness_seconds({"BTC": Sighting(8, ago(5))}, emitted, NOON)


def test_the_worst_key_decides() -> None:
    emitted = {key: Emitted(9, ago(1), ago(100)) for key in ("BTC", "ETH", "SOL")}
    visible = {"BTC": Sighting(9, ago(1)), "ETH": Sighting(8, ago(4)), "SOL": Sighting(8, ago(7))}

    assert 7.0 == freshness_seconds(visible, emitted, NOON)


def test_a_key_of_which_nothing_is_visible_is_as_old_as_its_oldest_known_record() -> None:
    emitted = {"BTC": Emitted(9, ago(1), ago(100)), "ETH": Emitted(9, ago(1), ago(60))}

    assert 100.0 == freshness_seconds({"ETH": Sighting(9, ago(1))}, emitted, NOON)


def test_keys_that_never_traded_and_keys_nobody_emitted_do_not_count() -> None:
    emitted = {"NEW": Emitted(0)}

    assert 0.0 == freshness_seconds({"OLD": Sighting(3, ago(999))}, emitted, NOON)


def test_a_record_emitted_after_the_ledger_was_asked_makes_nothing_stale() -> None:
    emitted = {"BTC": Emitted(9, ago(1), ago(100))}

    assert 0.0 == freshness_seconds({"BTC": Sighting(12, NOON)}, emitted, NOON)


def test_without_exchange_the_oldest_active_key_decides() -> None:
    visible = {"BTC": Sighting(9, ago(2)), "ETH": Sighting(9, ago(30))}

    assert 30.0 == unaided_freshness_seconds(visible, visible, NOON)


def test_without_exchange_a_silent_key_does_not_count() -> None:
    newest = {"BTC": Sighting(9, ago(2)), "GONE": Sighting(9, ago(3000))}

    assert {"BTC"} == active_keys(newest).keys()
    assert 2.0 == unaided_freshness_seconds(newest, active_keys(newest), NOON)


def test_without_exchange_all_keys_of_a_stalled_pipeline_stay_active() -> None:
    newest = {"BTC": Sighting(9, ago(3000)), "ETH": Sighting(9, ago(3030))}

    assert 3030.0 == unaided_freshness_seconds(newest, active_keys(newest), NOON)


def test_without_exchange_an_active_key_that_is_missing_counts_as_it_stands_upstream() -> None:
    active = {"BTC": Sighting(9, ago(2)), "ETH": Sighting(9, ago(7))}

    assert 7.0 == unaided_freshness_seconds({"BTC": Sighting(9, ago(2))}, active, NOON)


def test_without_exchange_and_without_records_there_is_nothing_to_measure() -> None:
    assert unaided_freshness_seconds({}, active_keys({}), NOON) is None


def test_the_newest_of_a_key_is_that_with_the_highest_sequence_wherever_it_stands() -> None:
    newest = newest_of(table_of([("BTC", 2), ("ETH", 7), ("BTC", 10), ("BTC", 9)]))

    assert {"BTC": 10, "ETH": 7} == {key: one.sequence for key, one in newest.items()}
    assert {} == newest_of(table_of([]))


def test_the_running_maximum_never_falls() -> None:
    newest = {"BTC": Sighting(5, ago(1))}

    advance(newest, {"BTC": Sighting(4, ago(2)), "ETH": Sighting(1, ago(3))})

    assert {"BTC": Sighting(5, ago(1)), "ETH": Sighting(1, ago(3))} == newest


KEYS = st.sampled_from(["BTC", "ETH", "SOL"])
AGES = st.floats(0, 10_000)
VISIBLE = st.dictionaries(KEYS, st.builds(Sighting, st.integers(1, 20), AGES.map(ago)))
EMITTED = st.dictionaries(
    KEYS, st.builds(Emitted, st.integers(0, 20), AGES.map(ago), AGES.map(ago))
)


def reference(visible: dict[str, Sighting], emitted: dict[str, Emitted]) -> float:
    """The glossary's sentence, word by word."""
    worst = 0.0
    for key, one in emitted.items():
        is_all_visible = one.last_id == 0 or (
            key in visible and visible[key].sequence >= one.last_id
        )
        if not is_all_visible:
            newest = visible[key].event_time if key in visible else one.oldest_time
            assert newest is not None
            worst = max(worst, (NOON - newest).total_seconds())
    return worst


@given(VISIBLE, EMITTED)
def test_freshness_is_what_the_glossary_says(
    visible: dict[str, Sighting], emitted: dict[str, Emitted]
) -> None:
    assert reference(visible, emitted) == freshness_seconds(visible, emitted, NOON)


@given(VISIBLE, EMITTED)
def test_freshness_is_never_negative_and_seeing_all_makes_it_zero(
    visible: dict[str, Sighting], emitted: dict[str, Emitted]
) -> None:
    every = {key: Sighting(one.last_id, NOON) for key, one in emitted.items()}

    assert freshness_seconds(visible, emitted, NOON) >= 0.0
    assert 0.0 == freshness_seconds(every, emitted, NOON)


@given(VISIBLE, EMITTED, st.floats(0, 1000))
def test_while_something_is_missing_it_grows_with_the_clock(
    visible: dict[str, Sighting], emitted: dict[str, Emitted], seconds: float
) -> None:
    before = freshness_seconds(visible, emitted, NOON)
    after = freshness_seconds(visible, emitted, NOON + timedelta(seconds=seconds))

    assert after >= before
    if before > 0:
        assert abs(after - before - seconds) < 1e-4
