"""Order, gaps and everything malformed: whatever happens, each trade once and in order."""

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_fakes import SYMBOLS, Bench, frame, until

from binance_stream import backfill as backfill_module
from binance_stream import relay as relay_module
from binance_stream.feed import FeedError, SymbolRefusedError
from binance_stream.sequence import Judgement, Sequence


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill_module, "_SECOND_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(relay_module, "_BEHIND_SECONDS", 0.0)


async def test_a_new_topic_begins_with_the_first_live_trade() -> None:
    bench = Bench()
    await bench.relay.catch_up(SYMBOLS)
    await bench.hear(500, 501)
    assert bench.topic.ids == {"AAAUSDT": [500, 501]}
    assert bench.exchange.asked == []


async def test_a_gap_is_filled_before_the_live_trade_goes_on() -> None:
    bench = Bench(last={"AAAUSDT": 10})
    await bench.hear(2_513)
    assert bench.topic.ids["AAAUSDT"] == list(range(11, 2_514))
    assert [limit for _, _, limit in bench.exchange.asked] == [1_000, 1_000, 502]
    assert (bench.health.counts.gaps_filled, bench.health.counts.gap_records) == (1, 2_502)


async def test_repeats_and_ids_that_go_back_are_dropped_and_counted() -> None:
    bench = Bench(last={"AAAUSDT": 10})
    await bench.hear(11, 11, 3, 12)
    assert bench.topic.ids["AAAUSDT"] == [11, 12]
    assert bench.health.counts.duplicates == 2


async def test_catching_up_reads_the_history_to_its_end() -> None:
    bench = Bench(last={"AAAUSDT": 10, "BBBUSDT": 2_010}, newest=2_010)
    assert await bench.relay.catch_up(SYMBOLS) == 1_700_000_000_000
    assert bench.topic.ids == {"AAAUSDT": list(range(11, 2_011))}
    assert await bench.relay.catch_up(SYMBOLS) is None


async def test_trades_beyond_the_retention_are_counted_as_lost_and_the_rest_goes_on() -> None:
    bench = Bench(last={"AAAUSDT": 10}, oldest=101)
    await bench.hear(150)
    assert bench.topic.ids["AAAUSDT"] == list(range(101, 151))
    assert bench.health.counts.gap_lost == 90


async def test_a_whole_gap_beyond_the_retention_is_lost_up_to_the_live_trade() -> None:
    bench = Bench(last={"AAAUSDT": 10}, oldest=150)
    await bench.hear(150, 151)
    assert bench.topic.ids["AAAUSDT"] == [150, 151]
    assert bench.health.counts.gap_lost == 139


async def test_a_hole_in_the_history_is_looked_at_twice() -> None:
    bench = Bench(last={"AAAUSDT": 10})
    bench.exchange.missing_once = {12, 13}
    await bench.hear(20)
    assert bench.topic.ids["AAAUSDT"] == list(range(11, 21))
    bench.exchange.missing = {23}
    await bench.hear(25)
    assert bench.topic.ids["AAAUSDT"] == [*range(11, 23), 24, 25]
    assert bench.health.counts.gap_lost == 1


async def test_an_id_the_history_does_not_know_yet_is_not_believed() -> None:
    """Believing it would make a repeat of every true trade that follows."""
    bench = Bench(last={"AAAUSDT": 10}, newest=12)
    await bench.relay.take(frame(10**15))
    assert bench.topic.ids["AAAUSDT"] == [11, 12]
    await bench.hear(13)
    assert bench.topic.ids["AAAUSDT"] == [11, 12, 13]
    assert (bench.health.counts.ahead, bench.health.counts.gap_lost) == (1, 0)


async def test_a_malformed_message_costs_no_record() -> None:
    bench = Bench(last={"AAAUSDT": 10}, newest=11)
    await bench.relay.take(frame(11)[:-9])
    await bench.relay.take(frame(11, p="abc"))
    await bench.relay.take(b"\x00")
    await bench.hear(12)
    assert bench.topic.ids["AAAUSDT"] == [11, 12]
    assert bench.health.counts.malformed == 3


async def test_symbols_nobody_asked_for_are_dropped_and_counted() -> None:
    bench = Bench()
    await bench.hear(1, symbol="ZZZUSDT")
    assert bench.topic.ids == {}
    assert bench.health.counts.unknown_symbols == 1


async def test_nine_decimals_are_rounded_and_counted_not_lost() -> None:
    bench = Bench(last={"AAAUSDT": 10})
    await bench.hear(11, p="1.123456789")
    assert bench.topic.ids["AAAUSDT"] == [11]
    assert bench.health.counts.rounded == 1


async def test_a_number_no_record_can_hold_is_passed_over_only_if_the_history_has_it_too() -> None:
    bench = Bench(last={"AAAUSDT": 10})
    bench.exchange.garbled[13] = {"price": "99999999999"}
    await bench.hear(11, p="99999999999")
    await bench.hear(12)
    assert bench.topic.ids["AAAUSDT"] == [11, 12]
    await bench.hear(13, p="99999999999")
    await bench.hear(14)
    assert bench.topic.ids["AAAUSDT"] == [11, 12, 14]
    assert bench.health.counts.rejected == 1


async def test_a_garbled_entry_of_the_history_does_not_stop_the_flow() -> None:
    bench = Bench(last={"AAAUSDT": 10})
    bench.exchange.garbled[12] = {"time": None}
    await bench.hear(13)
    await bench.hear(14)
    await bench.hear(15)
    assert bench.topic.ids["AAAUSDT"] == [11, 13, 14, 15]
    assert bench.health.counts.gap_lost == 1


async def test_a_full_queue_pauses_reading() -> None:
    bench = Bench(last={"AAAUSDT": 10})
    bench.topic.full = True
    await bench.hear(11, 12)
    assert (bench.topic.waited, bench.topic.ids["AAAUSDT"]) == (1, [11, 12])


async def test_a_refused_symbol_does_not_stop_the_others_from_catching_up() -> None:
    bench = Bench(last={"AAAUSDT": 10, "BBBUSDT": 10}, newest=12)
    bench.exchange.error = SymbolRefusedError("AAAUSDT", b"{}")
    await bench.relay.catch_up(["AAAUSDT"])
    with pytest.raises(FeedError, match="cannot be filled"):
        await bench.relay.take(frame(20))
    bench.exchange.error = None
    await bench.relay.catch_up(["BBBUSDT"])
    assert bench.topic.ids == {"BBBUSDT": [11, 12]}


async def test_a_stream_that_withholds_trades_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "_WATCH_SECONDS", 0.01)
    monkeypatch.setattr(relay_module, "_SILENT_SECONDS", 0.02)
    bench = Bench(last={"AAAUSDT": 10, "BBBUSDT": 11}, newest=10)
    watching = asyncio.create_task(bench.relay.watch(SYMBOLS))
    await asyncio.sleep(0.1)
    assert not watching.done(), "a quiet exchange is no reason to reconnect"
    bench.exchange.time_ms = int(time.time() * 1000)
    bench.exchange.newest = 11
    await asyncio.sleep(0.1)
    assert not watching.done(), "a trade this young may still be on its way"
    bench.exchange.time_ms -= 5_000
    bench.exchange.newest = 12
    with pytest.raises(FeedError, match="silent"):
        await asyncio.wait_for(watching, 2)
    assert bench.topic.ids["AAAUSDT"] == [11, 12]


async def test_with_its_bug_the_source_goes_on_after_a_break_with_the_live_trades() -> None:
    bench = Bench(last={"AAAUSDT": 10}, bugs=("source-no-gap-fill",), newest=20)
    assert await bench.relay.catch_up(SYMBOLS) is None
    await bench.hear(21, 22, 21, 30)
    assert bench.topic.ids["AAAUSDT"] == [21, 22, 30]
    assert bench.exchange.asked == []
    assert bench.health.counts.duplicates == 1


async def test_all_symbols_catch_up_at_the_same_time() -> None:
    """One after the other, a slow way to the exchange would be paid for every symbol."""
    bench = Bench(last=dict.fromkeys(SYMBOLS, 10), newest=12)
    bench.exchange.together = len(SYMBOLS)
    await asyncio.wait_for(bench.relay.catch_up(SYMBOLS), 5)
    assert bench.topic.ids == {symbol: [11, 12] for symbol in SYMBOLS}


async def test_what_one_symbol_cannot_get_ends_the_catching_up_of_all() -> None:
    bench = Bench(last=dict.fromkeys(SYMBOLS, 10), newest=12)
    bench.exchange.error = FeedError("HTTP 429", wait=7.0)
    with pytest.raises(FeedError) as caught:
        await bench.relay.catch_up(SYMBOLS)
    assert caught.value.wait == 7.0


async def test_a_stream_that_nobody_reads_for_want_of_room_is_not_called_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "_WATCH_SECONDS", 0.01)
    monkeypatch.setattr(relay_module, "_SILENT_SECONDS", 0.02)
    bench = Bench(last={"AAAUSDT": 10, "BBBUSDT": 10})
    bench.topic.full, bench.topic.stuck = True, True
    taking = asyncio.create_task(bench.relay.take(frame(11)))
    await until(lambda: bench.topic.waited == 1)
    asked, watching = len(bench.exchange.asked), asyncio.create_task(bench.relay.watch(SYMBOLS))
    bench.exchange.newest = 20
    await asyncio.sleep(0.2)
    assert (watching.done(), len(bench.exchange.asked)) == (False, asked)
    bench.topic.stuck = False
    await asyncio.wait_for(taking, 5)
    watching.cancel()


def test_the_table_of_judgements() -> None:
    sequence = Sequence(SYMBOLS, {"AAAUSDT": 10})
    expected = {10: Judgement.DUPLICATE, 11: Judgement.NEXT, 12: Judgement.GAP}
    assert {each: sequence.judge("AAAUSDT", each) for each in expected} == expected
    assert sequence.judge("BBBUSDT", 77) is Judgement.NEXT
    assert sequence.judge("ZZZUSDT", 1) is Judgement.UNKNOWN
    with pytest.raises(ValueError, match="10 after 10"):
        sequence.advance("AAAUSDT", 10)


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["hear", "miss", "repeat", "garble", "cut", "ahead", "reconnect"]),
        st.integers(1, 40),
    ),
    max_size=40,
)


async def _live_through(steps: list[Step]) -> Bench:
    bench = Bench(last=dict.fromkeys(SYMBOLS, 5), newest=5)
    for position, (kind, number) in enumerate(steps):
        symbol = SYMBOLS[position % 2]
        newest = bench.exchange.newest
        match kind:
            case "hear":
                await bench.hear(newest + 1, symbol=symbol)
            case "miss":
                bench.exchange.newest += number
            case "repeat":
                await bench.relay.take(frame(max(1, newest - number), symbol))
            case "garble":
                bench.exchange.newest += 1
                await bench.relay.take(frame(newest + 1, symbol, q="?"))
            case "cut":
                bench.exchange.newest += 1
                await bench.relay.take(frame(newest + 1, symbol)[:-number])
            case "ahead":
                await bench.relay.take(frame(newest + 1 + number, symbol))
            case _:
                await bench.relay.catch_up(SYMBOLS)
    await bench.relay.catch_up(SYMBOLS)
    return bench


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_whatever_the_stream_does_every_trade_arrives_once_in_order(steps: list[Step]) -> None:
    bench: Any = asyncio.run(_live_through(steps))
    expected = list(range(6, bench.exchange.newest + 1))
    for symbol in SYMBOLS:
        assert bench.topic.ids[symbol] == expected
    assert bench.health.counts.gap_lost == 0


async def test_a_market_at_rest_keeps_the_source_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "_WATCH_SECONDS", 0.03)
    monkeypatch.setattr(relay_module, "_SILENT_SECONDS", 0.09)
    bench = Bench(last={"AAAUSDT": 10, "BBBUSDT": 10}, newest=11)
    bench.health.note_connected()
    watching = asyncio.create_task(bench.relay.watch(SYMBOLS))
    await bench.hear(11)
    # The other symbol's last trade comes later: the two are never silent for equally long.
    await asyncio.sleep(0.05)
    await bench.hear(11, symbol="BBBUSDT")
    for _ in range(3):
        bench.health._fresh_at -= 100
        await _well(bench)
    watching.cancel()


async def test_a_history_that_refuses_a_symbol_proves_no_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "_WATCH_SECONDS", 0.01)
    monkeypatch.setattr(relay_module, "_SILENT_SECONDS", 0.02)
    bench = Bench(last={"AAAUSDT": 10, "BBBUSDT": 10}, newest=10)
    bench.exchange.error = SymbolRefusedError("AAAUSDT", b"{}")
    bench.health.note_connected()
    watching = asyncio.create_task(bench.relay.watch(SYMBOLS))
    await asyncio.wait({watching}, timeout=0.2)
    assert (bench.health.trouble() or "").startswith("starting")
    watching.cancel()


async def _well(bench: Bench) -> None:
    async with asyncio.timeout(5):
        while bench.health.trouble() is not None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_a_topic_that_knows_no_symbol_yet_proves_no_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "_WATCH_SECONDS", 0.01)
    monkeypatch.setattr(relay_module, "_SILENT_SECONDS", 0.02)
    bench = Bench(last={}, newest=0)
    bench.health.note_connected()
    watching = asyncio.create_task(bench.relay.watch(SYMBOLS))
    await asyncio.wait({watching}, timeout=0.2)
    assert (bench.health.trouble() or "").startswith("starting")
    watching.cancel()


async def test_a_gap_that_the_history_no_longer_covers_is_never_asked_for_backwards() -> None:
    bench = Bench(last={"AAAUSDT": 10, "BBBUSDT": 10}, newest=5_000, oldest=700)
    await bench.relay.take(frame(500))
    passed_on = bench.topic.ids["AAAUSDT"]
    assert all(limit > 0 for _, _, limit in bench.exchange.asked)
    assert passed_on == list(range(700, passed_on[-1] + 1))
    assert bench.health.counts.gap_lost == 700 - 11
