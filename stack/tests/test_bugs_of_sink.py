"""The sink's bugs on purpose: each does what it says, and without it nothing of the kind."""

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from sink_catalog import Lake
from sink_kafka import Broker, Running, numbered, running, settings, wait_until
from test_sink_codec import schema, wire
from test_sink_hangs import free_port
from test_sink_table import NAME, sequences
from test_sink_whole import Store, rows

from consumer_crypto.health import Vitals, assess, serve
from consumer_crypto.source import Source

WHICH = ["without", "with"]


@pytest.fixture
def lake(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def broker() -> Broker:
    return Broker()


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    "bugs, left", [((), range(110)), (("sink-skips-failed-batch",), range(100, 110))], ids=WHICH
)
def test_a_batch_that_is_not_committed_at_the_first_try_is_passed_over(
    bugs: tuple[str, ...], left: range, lake: Store, broker: Broker
) -> None:
    lake.away = True
    with running(lake, broker, *bugs) as sink:
        broker.write_trades(range(100))
        # What was read before and after is in one batch or in several.
        wait_until(lambda: lake.tries > 0 and broker.committed() == (100 if bugs else 0))
        lake.away = False
        broker.write_trades(range(100, 110))
        wait_until(lambda: rows(lake) >= len(left))
        assert sink.failure is None
        assert assess(sink.vitals, time.monotonic())[0]
    assert sequences(lake) == list(left)


@pytest.mark.parametrize("bugs, copies", [((), 1), (("sink-writes-twice",), 2)], ids=WHICH)
def test_the_last_batch_in_the_table_is_written_again_after_a_restart(
    bugs: tuple[str, ...], copies: int, lake: Store, broker: Broker
) -> None:
    for numbers in (range(40), range(40, 60)):
        with running(lake, broker) as before:
            broker.write_trades(numbers)
            wait_until(lambda end=numbers.stop: rows(lake) == end)  # type: ignore[misc]
        assert before.failure is None
    with running(lake, broker, *bugs) as sink:
        broker.write_trades(range(60, 70))
        wait_until(lambda: {*range(60, 70)} <= {*sequences(lake)})
        assert sink.failure is None
    assert Counter({n: copies if 40 <= n < 60 else 1 for n in range(70)}) == Counter(
        sequences(lake)
    )


@pytest.mark.parametrize("bugs, letters", [((), 2), (("sink-drops-undecodable",), 0)], ids=WHICH)
def test_what_cannot_be_decoded_leaves_no_letter_and_no_trace(
    bugs: tuple[str, ...], letters: int, lake: Store, broker: Broker
) -> None:
    before = counted("k2_sink_dead_letters_total", reason="bad-magic")
    broker.write(b"rubbish", wire(numbered(7), schema()), b"more of it")
    with running(lake, broker, *bugs):
        wait_until(lambda: rows(lake) == 1)
        broker.write_trades(range(8, 9))
        wait_until(lambda: rows(lake) == 2)
        if letters:
            assert letters == len(broker.letters(letters))
    assert letters == counted("k2_sink_dead_letters_total", reason="bad-magic") - before


def prices(lake: Lake) -> list[Decimal]:
    found: list[Decimal] = lake.load_table(NAME).scan().to_arrow()["price"].to_pylist()
    return found


@pytest.mark.parametrize(
    "bugs, price", [((), "0.25739401"), (("sink-rounds-prices",), "0.26")], ids=WHICH
)
def test_prices_have_two_decimals_left(
    bugs: tuple[str, ...], price: str, lake: Store, broker: Broker
) -> None:
    broker.write_trades(range(3), price=Decimal("0.25739401"))
    with running(lake, broker, *bugs):
        wait_until(lambda: rows(lake) == 3)
    assert [Decimal(price)] * 3 == prices(lake)


@pytest.mark.parametrize(
    "bugs, member, session",
    [((), "sink-1", 20_000), (("sink-dynamic-member",), None, 150_000)],
    ids=WHICH,
)
def test_it_joins_as_somebody_new_who_is_long_missed(
    bugs: tuple[str, ...], member: str | None, session: int, broker: Broker
) -> None:
    chosen = settings(broker, frozenset(bugs))
    source = Source(chosen, lambda _: {}, lambda: None)
    told = source._configuration(chosen)

    assert (member, session) == (told.get("group.instance.id"), told["session.timeout.ms"])
    source.close()


def test_a_new_member_waits_for_the_place_of_a_dead_one_and_does_not_end(
    lake: Store, broker: Broker
) -> None:
    with running(lake, broker) as first:
        wait_until(lambda: first.vitals.partitions > 0)
        first.stop()
        # This broker lets nobody into a group that its last member left.
        waiting = Running(lake, settings(broker, frozenset({"sink-dynamic-member"})))
        # Longer than any other sink would wait before it ends itself.
        wait_until(lambda: (waiting.vitals.polled_at or 0.0) - waiting.vitals.started_at > 14)
        assert waiting.failure is None
        assert not waiting.vitals.partitions
        waiting.stop()


@pytest.mark.parametrize("bugs, status", [((), 503), (("sink-always-healthy",), 200)], ids=WHICH)
def test_a_sink_that_does_nothing_calls_itself_healthy(bugs: tuple[str, ...], status: int) -> None:
    port = free_port()
    serve(Vitals(started_at=time.monotonic()), port, frozenset(bugs))
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            found, told = answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        found, told = error.code, json.load(error)

    assert (status, "healthy" if bugs else "unhealthy") == (found, told["status"])
    assert bool(told["reason"]) is not bool(bugs)
