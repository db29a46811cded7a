"""Packets that are reordered, duplicated or slowed down are told by the pings of the other end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from k2chaos.errors import FaultNotInjected, TargetNotReady, UsageError
from k2chaos.system.faults import Fault, System
from k2chaos.system.faults.held import held
from k2chaos.system.faults.network.bandwidth import LimitBandwidth
from k2chaos.system.faults.network.chain import DELAYS, DUPLICATES, REORDERS, SHAPES
from k2chaos.system.faults.network.delay import DelayPackets, ReorderPackets
from k2chaos.system.faults.network.duplicate import DuplicatePackets
from tests.fakes.clock import FakeClock
from tests.fakes.runs import fake_holding
from tests.fakes.runtime import FakeRuntime

Kind = Callable[..., Fault]
TOLD = [
    (ReorderPackets, "late", "overtaken", {"overtaken": 1}),
    (DuplicatePackets, "twice", "twice", {"twice": 1}),
    (LimitBandwidth, "bytes_per_second", "bytes_per_second", {"bytes_per_second": 150_000}),
]


@pytest.mark.parametrize("kind, word, seen, noise", TOLD)
def test_the_pings_of_the_other_end_tell_it(
    kind: Kind, word: str, seen: str, noise: dict[str, Any], tmp_path: Path
) -> None:
    del word, noise
    runtime = FakeRuntime()
    sink, broker = runtime.add("consumer-crypto"), runtime.add("kafka")

    with held(kind(sink, (broker,)), 5.0, fake_holding(runtime, tmp_path)) as hold:
        rules = runtime.network.at(sink).rules()

    assert {"kafka": hold.witness["injected"][seen]["kafka"]} == hold.witness["injected"][seen]
    assert hold.witness["injected"][seen]["kafka"] > 0
    assert "-d 10.0.0.3 -j NFQUEUE" in rules[-1]
    assert not hold.ended_early
    assert {"reset_connections": 0} == hold.witness["undone"]
    assert "" == runtime.network.at(sink).listing()


@pytest.mark.parametrize("kind, word, seen, noise", TOLD)
def test_a_queue_that_does_nothing_is_no_fault(
    kind: Kind, word: str, seen: str, noise: dict[str, Any], tmp_path: Path
) -> None:
    del noise
    runtime = FakeRuntime()
    sink, broker = runtime.add("consumer-crypto"), runtime.add("kafka")
    runtime.network.ignored.add(word)

    with (
        pytest.raises(FaultNotInjected, match=seen),
        held(kind(sink, (broker,)), 5.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran without a witness")

    assert "" == runtime.network.at(sink).listing()


@pytest.mark.parametrize("kind, word, seen, noise", TOLD)
def test_a_helper_that_takes_nothing_from_the_queue_is_no_fault(
    kind: Kind, word: str, seen: str, noise: dict[str, Any], tmp_path: Path
) -> None:
    del word, noise
    runtime = FakeRuntime(broken=lambda _container, verb: verb == "rules")
    sink, broker = runtime.add("consumer-crypto"), runtime.add("kafka")

    with (
        pytest.raises(FaultNotInjected, match=seen),
        held(kind(sink, (broker,)), 5.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran without a witness")


@pytest.mark.parametrize("kind, word, seen, noise", TOLD)
def test_a_network_that_is_like_this_already_proves_nothing(
    kind: Kind, word: str, seen: str, noise: dict[str, Any], tmp_path: Path
) -> None:
    del word, seen
    runtime = FakeRuntime()
    sink, broker = runtime.add("consumer-crypto"), runtime.add("kafka")
    runtime.network.noise |= noise

    with (
        pytest.raises(TargetNotReady, match="already"),
        held(kind(sink, (broker,)), 5.0, fake_holding(runtime, tmp_path)),
    ):
        pytest.fail("the body ran without a witness")

    assert {} == runtime.network.placed
    assert "" == runtime.network.at(sink).listing()


@pytest.mark.parametrize(
    "kind, asked",
    [
        (ReorderPackets, {"percent": 1}),
        (ReorderPackets, {"percent": 100}),
        (ReorderPackets, {"milliseconds": 2}),
        (ReorderPackets, {"milliseconds": 3001}),
        (DuplicatePackets, {"percent": 1}),
    ],
)
def test_what_nobody_could_tell_is_refused(kind: Kind, asked: dict[str, float]) -> None:
    runtime = FakeRuntime()
    sink, broker = runtime.add("consumer-crypto"), runtime.add("kafka")
    fault = kind(sink, (broker,), **asked)

    with pytest.raises(UsageError, match="nobody could tell"):
        fault.prepare(System(runtime))


def test_a_copy_passes_the_stages_behind_it_and_meets_those_before_it() -> None:
    runtime = FakeRuntime()
    sink, broker = runtime.add("consumer-crypto"), runtime.add("kafka")
    kinds = (DelayPackets, ReorderPackets, DuplicatePackets, LimitBandwidth)
    faults = [kind(sink, (broker,)) for kind in kinds]
    marks = [int(one.meanwhile(FakeClock().now())[3]) for one in faults]
    passing = [next(iter(one.rules_about("10.0.0.3"))) for one in faults]
    bits = [int(rule.split()[5].partition("/")[0], 16) for rule in passing]

    passes = [[bool(mark & bit) for bit in bits] for mark in marks]

    assert [[stage <= own for stage in range(4)] for own in range(4)] == passes


def test_each_kind_that_queues_has_a_hook_to_itself() -> None:
    places = [
        (kind.place.table, hook)
        for kind in (DelayPackets, ReorderPackets, DuplicatePackets, LimitBandwidth)
        for hook in kind.place.hooks
    ]

    assert [DELAYS, REORDERS, DUPLICATES, SHAPES] == [
        kind.place for kind in (DelayPackets, ReorderPackets, DuplicatePackets, LimitBandwidth)
    ]
    assert len(places) == len({*places})
    assert not {("filter", "INPUT"), ("filter", "OUTPUT")} & {*places}


def test_rare_packets_need_more_pings() -> None:
    runtime = FakeRuntime()
    sink, broker = runtime.add("consumer-crypto"), runtime.add("kafka")
    counts = [
        DuplicatePackets(sink, (broker,), percent=percent).watch.how["count"]
        for percent in (2, 10, 25, 100)
    ]

    assert [500, 100, 40, 20] == counts


@pytest.mark.parametrize("percent, count", [(2, 500), (25, 53), (50, 40), (90, 111)])
def test_the_most_pings_are_overtaken_where_half_are_late(percent: float, count: int) -> None:
    runtime = FakeRuntime()
    sink, broker = runtime.add("consumer-crypto"), runtime.add("kafka")

    assert count == ReorderPackets(sink, (broker,), percent=percent).watch.how["count"]


@pytest.mark.parametrize(
    "kbit, count, size", [(16, 5, 64), (800, 5, 600), (40_000, 107, 1400), (80, 5, 64)]
)
def test_a_burst_takes_three_hundredths_of_the_limit(kbit: float, count: int, size: int) -> None:
    runtime = FakeRuntime()
    sink, broker = runtime.add("consumer-crypto"), runtime.add("kafka")
    how = LimitBandwidth(sink, (broker,), kbit_per_second=kbit).watch.how

    assert (count, size) == (how["count"], how["size_bytes"])
