"""
Faults of the feed on a real exchange process, with a subscriber of its own as oracle.

The oracle sees what comes over the websocket; no count of the exchange enters it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from k2chaos.clock import SystemClock
from k2chaos.errors import FaultNotInjected
from k2chaos.evidence.ledger import read_ledger
from k2chaos.system.faults import Hold, System
from k2chaos.system.faults.feed import (
    Burst,
    DelayTrades,
    DisconnectStorm,
    DisconnectSubscribers,
    DuplicateTrades,
    FeedFault,
    MalformFrames,
    RefuseConnections,
    ReorderTrades,
    StallFeed,
)
from k2chaos.system.faults.held import Holding, held, watch
from k2chaos.system.runtime import Endpoint
from tests.contract.exchange_process import RATE, Exchange, running_exchange
from tests.contract.holding import holding_on
from tests.contract.subscriber import Subscriber, subscribed
from tests.contract.waiting import wait_until
from tests.fakes.endpoints import OnlyExchange
from tests.fakes.runtime import FakeRuntime


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    with running_exchange(tmp_path_factory.mktemp("exchange")) as one:
        yield one


@pytest.fixture
def subscriber(exchange: Exchange) -> Iterator[Subscriber]:
    with subscribed(exchange.stream) as one:
        wait_until(lambda: one.trades > 20, "trades come")
        yield one


@pytest.fixture
def holding(exchange: Exchange, tmp_path: Path) -> Holding:
    return holding_on(System(FakeRuntime(), OnlyExchange(exchange.control)), tmp_path)


@pytest.fixture
def target(exchange: Exchange) -> Endpoint:
    return Endpoint("exchange", exchange.control)


def hold(fault: FeedFault, holding: Holding, seconds: float = 1.5) -> Hold:
    """Hold *fault* for so long, watched."""
    with held(fault, seconds + 5.0, holding) as one:
        watch([one], seconds, holding)
    assert not one.ended_early
    return one


def counted(one: Hold) -> int:
    """How many effects the exchange counted, as of the heal."""
    (fault, seen) = one.fault, one.witness["healed"]
    assert isinstance(fault, FeedFault)
    assert "taken back" == seen["ended"]
    return int(seen[fault.counts])


def flows_again(subscriber: Subscriber) -> None:
    """Wait until trades come, whole: another fifty of them."""
    enough = subscriber.trades + 50
    wait_until(lambda: subscriber.trades >= enough, "trades come again")


def test_a_stalled_feed_is_silent_and_open_and_what_it_withheld_is_missing(
    target: Endpoint, holding: Holding, subscriber: Subscriber
) -> None:
    with held(StallFeed(target), 10.0, holding) as one:
        before = subscriber.trades
        watch([one], 1.5, holding)
        silent = subscriber.trades - before
    flows_again(subscriber)

    assert silent <= RATE * 0.1, "what was on its way when the order came"
    assert (1, 0) == (subscriber.opened, subscriber.closed)
    assert counted(one) == subscriber.holes > RATE


def test_whoever_is_connected_is_sent_away_and_nobody_is_let_in(
    target: Endpoint, holding: Holding, subscriber: Subscriber
) -> None:
    with held(RefuseConnections(target), 10.0, holding) as one:
        assert subscriber.closed == 1
        before = subscriber.trades
        watch([one], 1.5, holding)
        assert before == subscriber.trades
    flows_again(subscriber)

    assert counted(one) == subscriber.refused > 5
    assert 2 == subscriber.opened


def test_everybody_is_disconnected_once(
    target: Endpoint, holding: Holding, subscriber: Subscriber
) -> None:
    one = hold(DisconnectSubscribers(target), holding, 1.0)
    flows_again(subscriber)

    assert (1, 1, 2) == (counted(one), subscriber.closed, subscriber.opened)


def test_a_storm_disconnects_again_and_again(
    target: Endpoint, holding: Holding, subscriber: Subscriber
) -> None:
    one = hold(DisconnectStorm(target, every_seconds=0.4), holding, 2.0)
    flows_again(subscriber)

    assert counted(one) == subscriber.closed
    # Whoever takes long to come back on a busy machine misses a turn.
    assert 2 <= subscriber.closed <= one.achieved_seconds / 0.4 + 2


def test_broken_frames_come_instead_of_trades(
    target: Endpoint, holding: Holding, subscriber: Subscriber
) -> None:
    one = hold(MalformFrames(target, percent=30), holding)
    flows_again(subscriber)

    assert counted(one) == len(subscriber.junk) == subscriber.holes
    assert 0.2 < len(subscriber.junk) / (one.achieved_seconds * RATE) < 0.45


def test_doubled_trades_come_twice(
    target: Endpoint, holding: Holding, subscriber: Subscriber
) -> None:
    one = hold(DuplicateTrades(target, percent=30), holding)
    flows_again(subscriber)

    assert counted(one) == subscriber.repeats
    assert 0.2 < subscriber.repeats / (one.achieved_seconds * RATE) < 0.45
    assert (0, 0) == (subscriber.holes, subscriber.steps_back)


def test_swapped_trades_come_out_of_order_and_all_of_them_come(
    target: Endpoint, holding: Holding, subscriber: Subscriber
) -> None:
    one = hold(ReorderTrades(target, percent=30), holding)
    flows_again(subscriber)

    assert counted(one) == subscriber.steps_back > 0.15 * RATE
    assert (0, 0) == (subscriber.holes, subscriber.repeats)


def test_delayed_trades_are_as_late_as_asked_and_in_order(
    target: Endpoint, holding: Holding, subscriber: Subscriber
) -> None:
    with held(DelayTrades(target, milliseconds=300), 10.0, holding) as one:
        enough = subscriber.trades + RATE
        wait_until(lambda: subscriber.trades >= enough, "late trades come")
        late = sorted(subscriber.late_ms[-RATE // 2 :])
    flows_again(subscriber)

    assert 300 <= late[0]
    assert late[len(late) // 2] < 340
    assert (0, 0, 0) == (subscriber.holes, subscriber.repeats, subscriber.steps_back)
    assert counted(one) >= RATE


def test_a_burst_brings_a_multiple_of_the_trades_and_then_the_rate_of_before(
    target: Endpoint, holding: Holding, exchange: Exchange, subscriber: Subscriber
) -> None:
    client = exchange.exchange()
    before = subscriber.trades
    one = hold(Burst(target, factor=8), holding, 2.0)
    came = subscriber.trades - before
    paced = client.ledger()
    flows_again(subscriber)
    after = client.ledger()
    emitted = sum(after.last_ids.values()) - sum(paced.last_ids.values())
    rate = emitted / (after.now - paced.now).total_seconds()

    assert 0.7 * 8 * RATE * 2 < came < 1.3 * 8 * RATE * 2
    assert 0.7 * 7 * RATE * 2 < counted(one) < 1.3 * 7 * RATE * 2
    assert rate < 2 * RATE
    assert RATE == client.rate()
    assert 0 == subscriber.holes


def test_two_at_once_and_one_of_them_is_healed(
    target: Endpoint, holding: Holding, subscriber: Subscriber
) -> None:
    with held(DuplicateTrades(target, percent=100), 10.0, holding) as doubled:
        swapped = hold(ReorderTrades(target, percent=50), holding, 0.5)
        before = subscriber.repeats
        wait_until(lambda: subscriber.repeats > before + 20, "doubled ones still come")
    flows_again(subscriber)

    assert counted(swapped) == subscriber.steps_back > 0
    assert counted(doubled) == subscriber.repeats > 0
    assert 0 == subscriber.holes


def test_nobody_listens_so_nothing_can_be_seen(
    target: Endpoint, holding: Holding, exchange: Exchange, tmp_path: Path
) -> None:
    wait_until(lambda: exchange.exchange().health()["clients"] == 0, "nobody is connected")
    with (
        pytest.raises(FaultNotInjected, match="nothing of it can be seen"),
        held(StallFeed(target), 1.0, holding),
    ):
        pytest.fail("the body ran")

    assert () == read_ledger(tmp_path / "faults.jsonl").open


def test_a_restart_of_the_exchange_ends_the_fault_and_is_told(
    target: Endpoint, holding: Holding, exchange: Exchange, subscriber: Subscriber
) -> None:
    with held(StallFeed(target), 10.0, holding) as one:
        exchange.restart()
        flows_again(subscriber)

    assert one.ended_early
    assert "the exchange was restarted" == one.witness["before_heal"]["ended"]
    assert one.healed_at is not None


def test_an_order_that_nobody_takes_back_ends_by_itself(
    target: Endpoint, holding: Holding, subscriber: Subscriber
) -> None:
    fault = StallFeed(target, longest_seconds=1.0).prepare(holding.system)
    fault.inject(holding.system, SystemClock().now())
    wait_until(lambda: fault.observe(holding.system).struck, "it strikes")
    wait_until(lambda: not fault.observe(holding.system).active, "it ends")
    flows_again(subscriber)

    assert "its time is over" == fault.observe(holding.system).seen["ended"]
